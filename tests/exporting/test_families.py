"""Every semantic architecture goes out and comes back as PyTorch has it, at any size."""

from __future__ import annotations

from unittest import mock

import pytest
from torch import nn

import segsuite
from segsuite.config import CfgNode
from segsuite.errors import ConfigError
from segsuite.exporting import ExportOptions
from segsuite.exporting.graphs import build_graph
from segsuite.modeling import build_model
from segsuite.models.create import model_config
from tests.exporting.families import agreement, camvid_images, settled
from tests.helpers import requires_camvid
from tests.modeling.zoo import ARCHITECTURES


@pytest.mark.slow
@requires_camvid
@pytest.mark.parametrize("format", ["onnx", "openvino", "torch_export"])
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.usefixtures("datasets_root")
def test_architectures_say_what_pytorch_says(name, format):
    found = agreement(ARCHITECTURES[name].config(), format)
    assert found.logits <= 1e-4
    assert found.labels >= 0.9999


def swin(**options: object) -> tuple[CfgNode, nn.Module]:
    cfg = model_config(
        "upernet",
        num_classes=5,
        backbone="timm/swin_tiny_patch4_window7_224",
        overrides={"MODEL.SEM_SEG_HEAD.CONVS_DIM": 16, "MODEL.AUX_HEAD.ENABLED": False, **options},
    )
    return cfg, build_model(cfg).eval()


def test_a_backbone_of_one_size_is_refused_for_any_before_work_starts():
    pytest.importorskip("timm")
    cfg, model = swin()
    with pytest.raises(ConfigError, match=r"swin_tiny_patch4_window7_224.*--size HxW"):
        build_graph(cfg, model, ExportOptions())
    build_graph(cfg, model, ExportOptions(size=(128, 192)))


@pytest.mark.slow
@requires_camvid
@pytest.mark.usefixtures("datasets_root")
@pytest.mark.parametrize("pads", [False, True])
def test_a_backbone_of_one_size_says_what_pytorch_says(tmp_path, pads):
    pytest.importorskip("timm")
    cfg, model = swin(**{"MODEL.TIMM.PAD_BEFORE_SHIFT": pads})
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    settled(model, camvid_images())
    with mock.patch("segsuite.exporting.api._trained", lambda cfg: (model, "")):
        exported = segsuite.export(cfg, tmp_path / "a.onnx", size=(128, 192), logits=True)
    assert max(d.value for d in exported.differences) < 1e-4
