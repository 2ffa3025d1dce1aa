"""Every recipe's model can be built and trained for a step."""

import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import build_model
from tests.helpers import REPO

CONFIGS = REPO / "configs"
RECIPES = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "_base_")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_recipe(path):
    model = build_model(load_config(path, ["MODEL.DEVICE", "cpu"]))
    record = {
        "image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8),
        "sem_seg": torch.zeros(64, 64, dtype=torch.uint8),
    }
    losses = model([record, record])
    assert all(loss.isfinite() for loss in losses.values())
