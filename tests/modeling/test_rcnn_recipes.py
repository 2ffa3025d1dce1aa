"""The recipes of instance models build the networks that Detectron2 publishes."""

import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import META_ARCH_REGISTRY
from tests.helpers import REPO

CONFIGS = REPO / "configs"
FOLDERS = ("COCO-Detection", "COCO-InstanceSegmentation", "Misc", "torchvision")
# Parameters in millions, without batch norms.
SIZES = {
    "mask_rcnn_R_50_FPN_1x": 44.34,
    "mask_rcnn_R_50_C4_1x": 35.91,
    "mask_rcnn_R_50_DC5_1x": 172.35,
    "faster_rcnn_R_50_FPN_1x": 41.70,
}


def build(path):
    cfg = load_config(path)
    with torch.device("meta"):
        return cfg, META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


@pytest.mark.parametrize(
    "path",
    [p for folder in FOLDERS for p in sorted((CONFIGS / folder).glob("*rcnn*.yaml"))],
    ids=lambda path: path.stem,
)
def test_recipe(path):
    cfg, model = build(path)
    assert (model.roi_heads.mask_head is not None) is cfg.MODEL.MASK_ON
    if path.stem in SIZES:
        count = sum(p.numel() for p in model.parameters())
        assert count / 1e6 == pytest.approx(SIZES[path.stem], abs=0.005)


@pytest.mark.parametrize("name", ["rpn_R_50_FPN_1x", "rpn_R_50_C4_1x"])
def test_proposal_recipe(name):
    _, model = build(CONFIGS / "COCO-Detection" / f"{name}.yaml")
    assert not hasattr(model, "roi_heads")
