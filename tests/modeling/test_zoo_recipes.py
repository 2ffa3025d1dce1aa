"""The semantic recipes at the size of their papers build the networks that were published."""

import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import META_ARCH_REGISTRY
from tests.helpers import REPO

FOLDERS = ("Cityscapes-SemanticSegmentation", "ade20k", "cityscapes")
# Millions of parameters in the papers, or else by the authors' tables.
SIZES = {
    "segformer_b0": 3.8,
    "segformer_b1": 13.7,
    "segformer_b2": 27.5,
    "segformer_b3": 47.3,
    "segformer_b4": 64.1,
    "segformer_b5": 84.7,
    "hrnet_w48": 65.9,
    "drn_c_26": 21.1 - 0.5,  # without the classifier of 1000 classes
    "drn_c_42": 31.2 - 0.5,
    "drn_d_22": 16.4 - 0.5,
    "drn_d_38": 26.5 - 0.5,
    "drn_d_54": 35.8 - 0.5,
    "drn_d_105": 54.8 - 0.5,
}


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in FOLDERS
        for path in sorted((REPO / "configs" / folder).glob("[a-z]*.yaml"))
    ],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_recipe(path):
    cfg = load_config(path)
    with torch.device("meta"):
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    if path.stem in SIZES:
        count = sum(p.numel() for p in model.parameters())
        assert count / 1e6 == pytest.approx(SIZES[path.stem], abs=0.1)
    assert model.sem_seg_head.num_classes == (150 if path.parent.name == "ade20k" else 19)
    assert (model.aux_head is not None) is cfg.MODEL.AUX_HEAD.ENABLED
