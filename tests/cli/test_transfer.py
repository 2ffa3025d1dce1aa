"""The three recipes of docs/transfer.md, narrow, on small data in the published layouts."""

from __future__ import annotations

import argparse
import logging

import pytest
import torch

from segsuite.config import load_config
from segsuite.data import MetadataCatalog
from segsuite.data.prepare import prepare_dataset
from segsuite.engine import DefaultTrainer, default_setup
from tests.data.datasets.layouts import make_coco, make_sbd, make_voc
from tests.helpers import REPO

NARROW = [
    *("MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
    *("MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", 16, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 16),
    *("MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS", [8], "INPUT.CROP.SIZE", [32, 32]),
    *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 1, "DATALOADER.NUM_WORKERS", 0),
    *("LOG.TENSORBOARD", False),
]


def train(recipe, *overrides):
    cfg = load_config(str(REPO / "configs/transfer" / recipe), [*NARROW, *overrides])
    default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    loaded = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    return loaded, torch.load(f"{cfg.OUTPUT_DIR}/model_final.pth", weights_only=True)["model"]


def test_chain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path / "datasets"))
    make_coco(tmp_path / "datasets")
    make_voc(tmp_path / "datasets")
    make_sbd(tmp_path / "datasets")
    for name in ("coco_things", "voc_2012_aug"):
        prepare_dataset(name, allow_download=False)
    try:
        _, coco = train("1_coco.yaml", "MODEL.WEIGHTS", "")
        started, augmented = train("2_voc_aug.yaml")
        last, final = train("3_voc.yaml")
    finally:
        for handler in list(logging.getLogger("segsuite").handlers):
            handler.close()
            logging.getLogger("segsuite").removeHandler(handler)

    key = "sem_seg_head.predictor.weight"
    theirs = MetadataCatalog.get("coco_things_sem_seg_train").stuff_classes
    ours = MetadataCatalog.get("voc_2012_sem_seg_trainaug").stuff_classes
    same = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch"}
    same |= {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv"}
    assert coco[key].shape[0] == 81 and started[key].shape[0] == 21
    for i, name in enumerate(ours):
        assert torch.equal(started[key][i], coco[key][theirs.index(same.get(name, name))]), name
    body = [name for name in coco if name.startswith("backbone") and "num_batches" not in name]
    assert body and all(torch.equal(started[name], coco[name]) for name in body)
    assert all(torch.equal(last[name], augmented[name]) for name in augmented)
    assert final[key].shape[0] == 21 and not torch.equal(final[key], augmented[key])


@pytest.mark.parametrize("name", ["1_coco.yaml", "2_voc_aug.yaml", "3_voc.yaml"])
def test_classes_of_the_recipe_are_those_of_its_data(name):
    cfg = load_config(str(REPO / "configs/transfer" / name))
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        classes = MetadataCatalog.get(dataset).stuff_classes
        assert len(classes) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
