"""MODEL.BACKBONE.FREEZE_AT: followed by every backbone, or refused by name."""

import pytest
import torch

from segsuite.config import get_cfg, load_config
from segsuite.errors import ConfigError
from segsuite.layers import FrozenBatchNorm2d
from segsuite.modeling import BACKBONE_REGISTRY, Backbone, build_backbone, build_model

FPN_FEATURES = ["res2", "res3", "res4", "res5"]
SMALL = {
    "build_resnet_fpn_backbone": [
        *("MODEL.RESNETS.OUT_FEATURES", FPN_FEATURES, "MODEL.FPN.IN_FEATURES", FPN_FEATURES)
    ],
    "build_fpn_backbone": [
        "MODEL.FPN.BOTTOM_UP",
        "build_hrnet_backbone",
        "MODEL.FPN.IN_FEATURES",
        FPN_FEATURES,
    ],
    "build_timm_backbone": ["MODEL.TIMM.NAME", "test_convnext"],
    "build_unet_backbone": ["MODEL.UNET.CHANNELS", [4, 8, 8]],
}


def small_cfg(name: str, freeze_at: int):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.FREEZE_AT", freeze_at])
    cfg.merge_from_list(SMALL.get(name, []))
    return cfg


def trainable(backbone: torch.nn.Module) -> int:
    return sum(p.numel() for p in backbone.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", [n for n in BACKBONE_REGISTRY if n.startswith("build_")])
def test_every_backbone_follows_it(name):
    if name == "build_timm_backbone":
        pytest.importorskip("timm")
    counts = []
    with torch.device("meta"):
        for freeze_at in (0, 1, 2, 3):
            counts.append(trainable(build_backbone(small_cfg(name, freeze_at))))
        assert counts == sorted(set(counts), reverse=True)
        for impossible in (-1, 99):
            with pytest.raises(ConfigError, match=rf"MODEL.BACKBONE.FREEZE_AT is {impossible};"):
                build_backbone(small_cfg(name, impossible))


def test_a_pyramid_freezes_what_is_below_it():
    with torch.device("meta"):
        backbone = build_backbone(small_cfg("build_resnet_fpn_backbone", 2))
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {
        n
        for n, _ in backbone.named_parameters()
        if n.startswith(("bottom_up.stem", "bottom_up.res2"))
    }
    assert len(backbone.stages()) == 5


@pytest.mark.parametrize(
    "recipe",
    ["smoke/segformer_shapes", "smoke/hrnet_shapes", "_base_/unet", "smoke/unet_shapes"],
)
def test_recipes(recipe):
    counts = {}
    for freeze_at in (0, 2):
        cfg = load_config(f"configs/{recipe}.yaml", ["MODEL.BACKBONE.FREEZE_AT", freeze_at])
        with torch.device("meta"):
            counts[freeze_at] = trainable(build_backbone(cfg))
    assert counts[2] < counts[0]


def test_batch_norms_of_a_frozen_encoder():
    backbone = build_backbone(small_cfg("build_unet_backbone", 1))
    assert isinstance(backbone.enc1[0].norm, FrozenBatchNorm2d)
    assert isinstance(backbone.enc2[0].norm, torch.nn.BatchNorm2d)


def unet_cfg(freeze_at: int, **weights):
    cfg = small_cfg("build_unet_backbone", freeze_at)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "SemanticSegmentor", "cpu"
    cfg.MODEL.SEM_SEG_HEAD.NAME, cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = "FCNHead", ["enc3"]
    cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 8
    return cfg


def test_no_warning_where_nothing_is_frozen_at_random(caplog):
    build_model(unet_cfg(0))
    cfg = unet_cfg(2)
    cfg.MODEL.WEIGHTS = "model.pth"
    build_model(cfg)
    assert caplog.text == ""
    build_model(unet_cfg(2))
    assert "MODEL.BACKBONE.FREEZE_AT is 2, but MODEL.WEIGHTS is empty" in caplog.text


def test_no_warning_where_timm_brings_the_weights(caplog, monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def without_download(*args, pretrained, **options):
        return create(*args, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_download)
    cfg = unet_cfg(1)
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.TIMM.NAME = "build_timm_backbone", "test_resnet"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["f4"]
    cfg.MODEL.TIMM.PRETRAINED = True
    build_model(cfg)
    assert "FREEZE_AT" not in caplog.text
    cfg.MODEL.TIMM.PRETRAINED = False
    build_model(cfg)
    assert "MODEL.BACKBONE.FREEZE_AT is 1" in caplog.text


def test_a_plug_ins_backbone_with_a_parameter_that_is_always_fixed(registered):
    """Such as positions: it says nothing about whether the key was read."""

    class Positions(Backbone):
        def __init__(self):
            super().__init__()
            self.positions = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
            self.stem, self.body = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3)
            self.add_feature("body", 4, 1)

        def forward(self, x):
            return {"body": self.body(self.stem(x + self.positions))}

        def stages(self):
            return [["stem"], ["body"]]

    registered(BACKBONE_REGISTRY)(lambda cfg, input_shape: Positions(), name="Positions")
    backbone = build_backbone(small_cfg("Positions", 1))
    assert [n for n, p in backbone.named_parameters() if p.requires_grad] == [
        "body.weight",
        "body.bias",
    ]
