"""Every recipe's model can be built and trained for a step.

Those of the folders with Detectron2's names and of large data sets are large: test_rcnn_recipes.py,
test_panoptic_fpn.py and test_zoo_recipes.py build them alone. tests/cli/test_transfer.py trains
those of transfer/.
"""

import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.structures import Boxes, Instances, PolygonMasks
from tests.helpers import REPO

CONFIGS = REPO / "configs"
LARGE = (
    *("_base_", "COCO-Detection", "COCO-InstanceSegmentation", "COCO-PanopticSegmentation"),
    *("Misc", "torchvision", "transfer"),
    *("Cityscapes-SemanticSegmentation", "ade20k", "cityscapes"),
)
RECIPES = sorted(
    p
    for p in CONFIGS.rglob("*.yaml")
    if p.parent.name not in LARGE and not p.name.startswith("Base-")
)
SQUARE = [[8.0, 8.0, 56.0, 8.0, 56.0, 56.0, 8.0, 56.0]]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_recipe(path):
    model = build_model(load_config(path, ["MODEL.DEVICE", "cpu"]))
    record = {
        "image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8),
        "sem_seg": torch.zeros(64, 64, dtype=torch.uint8),
        "instances": Instances(
            (64, 64),
            gt_boxes=Boxes([[8, 8, 56, 56]]),
            gt_classes=torch.tensor([0]),
            gt_masks=PolygonMasks([SQUARE]),
        ),
    }
    losses = model([record, record])
    assert all(loss.isfinite() for loss in losses.values())
