"""Backbones from outside: as Detectron2's are written, and with as little as the base asks for."""

import pytest
import torch
from torch import nn

from segsuite.config import get_cfg
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.modeling import BACKBONE_REGISTRY, Backbone, build_backbone, build_model
from segsuite.structures import Instances

from .backbone_contract import BackboneContract


class Detectron2Style(Backbone):
    """Written as Detectron2's tutorial has it: three attributes, no `output_shape`."""

    def __init__(self, cfg, input_shape):
        super().__init__()
        self.stem = nn.Conv2d(input_shape.channels, 8, 3, stride=4, padding=1)
        self.coarse = nn.Conv2d(8, 16, 3, stride=4, padding=1)
        self._out_features = ["fine", "coarse"]
        self._out_feature_channels = {"fine": 8, "coarse": 16}
        self._out_feature_strides = {"fine": 4, "coarse": 16}

    def forward(self, x):
        fine = self.stem(x)
        return {"fine": fine, "coarse": self.coarse(fine)}

    @property
    def size_divisibility(self):
        return 16


class Squares(Detectron2Style):
    @property
    def padding_constraints(self):
        return {"square_size": 96}


class FreezesItself(Detectron2Style):
    def __init__(self, cfg, input_shape):
        super().__init__(cfg, input_shape)
        if cfg.MODEL.BACKBONE.FREEZE_AT >= 1:
            self.stem.requires_grad_(False)


class WithStages(Detectron2Style):
    def stages(self):
        return [["stem"], ["coarse"]]


@pytest.fixture
def cfg(monkeypatch):
    monkeypatch.setattr(BACKBONE_REGISTRY, "_objects", dict(BACKBONE_REGISTRY._objects))
    for cls in (Detectron2Style, Squares, FreezesItself, WithStages):
        BACKBONE_REGISTRY.register(cls)
    cfg = get_cfg()
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.FREEZE_AT = "cpu", 0
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.SEM_SEG_HEAD.NAME, cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = "FCNHead", ["coarse"]
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    return cfg


class TestDetectron2Style(BackboneContract):
    def build(self):
        return WithStages(get_cfg(), ShapeSpec(3))


@pytest.mark.parametrize("name, padded", [("Detectron2Style", (64, 80)), ("Squares", (96, 96))])
def test_a_backbone_written_for_detectron2(cfg, name, padded):
    cfg.MODEL.BACKBONE.NAME = name
    backbone = build_backbone(cfg)
    assert backbone.output_shape() == {"fine": ShapeSpec(8, 4), "coarse": ShapeSpec(16, 16)}
    assert backbone.out_features == ["fine", "coarse"]
    model = build_model(cfg)
    sizes = []
    model.backbone.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[-2:]))
    record = {
        "image": torch.zeros(3, 50, 70, dtype=torch.uint8),
        "sem_seg": torch.zeros(50, 70, dtype=torch.int64),
    }
    sum(model([record]).values()).backward()
    (prediction,) = model.eval()([record])
    assert sizes == [padded, padded]
    assert prediction["sem_seg"].labels().shape == (50, 70)


def test_an_image_larger_than_the_square(cfg):
    cfg.MODEL.BACKBONE.NAME = "Squares"
    image = torch.zeros(3, 50, 100, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"at most 96 x 96 pixels.*50 x 100"):
        build_model(cfg).eval()([{"image": image}])


def test_instance_models_pad_to_squares_too(cfg):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.META_ARCHITECTURE = "Squares", "ProposalNetwork"
    cfg.MODEL.RPN.IN_FEATURES = ["coarse"]
    model = build_model(cfg).eval()
    images = model.preprocess([{"image": torch.zeros(3, 50, 70, dtype=torch.uint8)}])
    assert images.tensor.shape == (1, 3, 96, 96)
    (prediction,) = model([{"image": torch.zeros(3, 50, 70, dtype=torch.uint8)}])
    assert isinstance(prediction["proposals"], Instances)


def test_freezing(cfg):
    def frozen(name: str, freeze_at: int) -> set[str]:
        cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FREEZE_AT = name, freeze_at
        parameters = build_backbone(cfg).named_parameters()
        return {n for n, p in parameters if not p.requires_grad}

    stem = {"stem.weight", "stem.bias"}
    assert frozen("FreezesItself", 1) == frozen("WithStages", 1) == stem
    assert frozen("WithStages", 2) == {*stem, "coarse.weight", "coarse.bias"}
    with pytest.raises(ConfigError, match=r"FREEZE_AT is 3; expected .*WithStages \(1: stem; 2: "):
        frozen("WithStages", 3)
    match = r"MODEL.BACKBONE.FREEZE_AT is 1; Detectron2Style has no stages .* set it to 0"
    with pytest.raises(ConfigError, match=match):
        frozen("Detectron2Style", 1)


class Chooses(Backbone):
    def __init__(self, out_features, declare=True):
        super().__init__()
        self.built = self.choose_features(out_features, ["a", "b", "c"]) if declare else []
        for i, name in enumerate(self.built):
            self.add_feature(name, 2 * i, 2**i)

    def forward(self, x):
        return self.chosen({"a": x, "b": x + 1, "c": x + 2})


def test_choosing_features():
    backbone = Chooses(["b", "a"])
    assert backbone.built == ["a", "b"]
    assert list(backbone.output_shape().items()) == [("b", ShapeSpec(2, 2)), ("a", ShapeSpec(0, 1))]
    assert list(backbone(torch.zeros(1))) == ["b", "a"]
    with pytest.raises(UnknownNameError, match=r"'d' is not in the features of Chooses .*a, b, c"):
        Chooses(["d"])
    with pytest.raises(ConfigError, match=r"OUT_FEATURES of Chooses is empty; .* a, b, c"):
        Chooses([])
    with pytest.raises(NotImplementedError, match="Chooses does not say what its features are"):
        Chooses([], declare=False).output_shape()
