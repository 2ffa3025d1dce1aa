"""Every architecture learns two street scenes by heart, through the mapper and its own losses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from segsuite.modeling import build_model
from segsuite.solver import build_optimizer
from tests.helpers import requires_camvid

from .zoo import ARCHITECTURES

# Those for logits at stride 8 have larger areas, whose labels survive it.
IMAGES = {8: ("0006R0_f03090", "0016E5_05790")}
OTHER_IMAGES = ("0001TP_006690", "0016E5_08640")
WHOLE_IMAGES = (
    *("INPUT.MIN_SIZE_TRAIN", (120,)),
    *("INPUT.CROP.ENABLED", False, "INPUT.RANDOM_SCALE", (1.0, 1.0), "INPUT.RANDOM_FLIP", "none"),
    *("INPUT.COLOR_JITTER.BRIGHTNESS", 0.0, "INPUT.COLOR_JITTER.CONTRAST", 0.0),
    *("INPUT.COLOR_JITTER.SATURATION", 0.0),
    *("MODEL.SEM_SEG_HEAD.LOSS.CLASS_BALANCE", "", "SOLVER.WEIGHT_DECAY", 0.0),
)


def two_samples(cfg, stride):
    """Whole images of 120 x 160 pixels, as training has them."""
    records = {Path(r["file_name"]).stem: r for r in DatasetCatalog.get("camvid_train")}
    label_map = MetadataCatalog.get("camvid_train").label_map
    mapper = DatasetMapper(cfg, is_train=True, label_map=label_map)
    names = IMAGES.get(stride, OTHER_IMAGES)
    return [mapper(records[name], np.random.default_rng(0)) for name in names]


@torch.no_grad()
def pixel_accuracy(model, samples):
    """In evaluation, with batch-norm statistics of these samples."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()(samples)
    outputs = model.eval()([{"image": sample["image"]} for sample in samples])
    right = pixels = 0
    for sample, output in zip(samples, outputs, strict=True):
        labels, counted = output["sem_seg"].labels(), sample["sem_seg"] != 255
        right += int((labels == sample["sem_seg"])[counted].sum())
        pixels += int(counted.sum())
    model.train()
    return right / pixels


@pytest.mark.slow
@requires_camvid
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_learns_two_images_by_heart(name, datasets_root):
    torch.manual_seed(0)
    rate = 0.001 if name == "segformer" else 0.004
    cfg = ARCHITECTURES[name].config(
        *WHOLE_IMAGES, "SOLVER.OPTIMIZER", "ADAMW", "SOLVER.BASE_LR", rate
    )
    model = build_model(cfg)
    samples = two_samples(cfg, model.sem_seg_head.stride)
    optimizer = build_optimizer(cfg, model)
    accuracy, step = 0.0, 0
    while accuracy <= 0.98 and step < 400:
        for _ in range(20):
            optimizer.zero_grad()
            sum(model(samples).values()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        step += 20
        accuracy = pixel_accuracy(model, samples)
    assert accuracy > 0.98
