"""A run of one class, from masks of 0 and 255 to predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.predict.serve import answer
from segsuite.runs import Run

from .tiny import write_images

MODEL = {
    "DEVICE": "cpu",
    "PIXEL_STD": [60.0, 60.0, 60.0],
    "BACKBONE": {"NAME": "build_unet_backbone", "FREEZE_AT": 0},
    "UNET": {"CHANNELS": [4, 8], "NORM": "GN"},
    "SEM_SEG_HEAD": {
        "NAME": "UNetHead",
        "IN_FEATURES": ["enc1", "enc2"],
        "DECODER_CHANNELS": [4],
        "NUM_CLASSES": 1,
        "NORM": "GN",
        "LOSS_TYPE": "cross_entropy+dice",
        "LOSS": {"CLASS_BALANCE": "median_frequency"},
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("binary")
    register = {}
    for split, count in (("train", 6), ("val", 3)):
        write_images(folder / split, count, seed=count)
        for path in (folder / split / "labels").iterdir():
            Image.fromarray(255 * np.asarray(Image.open(path))).save(path)
        register[f"binary_{split}"] = {
            "IMAGES": str(folder / split / "images"),
            "LABELS": str(folder / split / "labels"),
            "CLASSES": ["box"],
            "LABEL_MAP": {0: 0, 255: 1},
        }
    config = {
        "MODEL": MODEL,
        "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TRAIN": [0], "MIN_SIZE_TEST": 0},
        "DATASETS": {"REGISTER": register, "TRAIN": ["binary_train"], "TEST": ["binary_val"]},
        "DATALOADER": {"NUM_WORKERS": 0},
        "SOLVER": {
            "IMS_PER_BATCH": 6,
            "MAX_ITER": 60,
            "BASE_LR": 0.03,
            "OPTIMIZER": "ADAMW",
            "EMA": {"ENABLED": True, "DECAY": 0.5},
        },
        "TEST": {
            "EXAMPLES": 1,
            "SLIDING_WINDOW": {"ENABLED": True, "SIZE": [32, 32]},
            "AUG": {"ENABLED": True, "MIN_SIZES": [0, 48]},
        },
        "LOG": {"TENSORBOARD": False},
        "OUTPUT_DIR": str(folder / "output"),
    }
    yield segsuite.train(config_of(folder, config))
    for name in register:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def config_of(folder, config):
    path = folder / "config.json"  # which is YAML, too
    path.write_text(json.dumps(config))
    path = path.rename(folder / "config.yaml")
    return str(path)


def test_it_learns(run: Run):
    results = run.evaluations["binary_val"].results["sem_seg"]
    assert results["mIoU"] == results["IoU-box"] > 40
    assert results["Dice-box"] > results["IoU-box"] and results["IoU-background"] > 80
    assert run.evaluations["binary_val"].contents["sem_seg"]["classes"] == ["background", "box"]


def test_report_and_examples(run: Run):
    page = run.files.report.read_text()
    assert "background" in page and "of box alone" in page


def test_prediction(run: Run):
    predictor = segsuite.Predictor(run.folder)
    picture = np.full((40, 48, 3), 40, np.uint8)
    picture[10:30, 12:32] = 200
    prediction = predictor(picture)
    assert set(prediction.found()) == {"background", "box"}
    assert prediction.labels[20, 20] == 1 and prediction.labels[2, 2] == 0
    assert prediction.draw().shape == picture.shape
    assert prediction.confidence.min() >= 0.5
    of_page = answer(predictor, next((run.folder.parent / "val" / "images").iterdir()), 10**6)
    assert "box" in of_page.legend and of_page.confidence is not None
    image = prediction.label_image()
    assert image.getpalette()[:3] != image.getpalette()[3:6]


def test_threshold(run: Run):
    few = segsuite.Predictor(run.folder, ["MODEL.SEM_SEG_HEAD.THRESHOLD", 0.99])
    many = segsuite.Predictor(run.folder, ["MODEL.SEM_SEG_HEAD.THRESHOLD", 0.01])
    picture = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    assert few(picture).labels.sum() < many(picture).labels.sum()


def test_plain_network(run: Run):
    net = segsuite.load(run)
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)
