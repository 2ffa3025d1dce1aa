import pytest
import torch
import torch.nn.functional as F

from segsuite.layers import ShapeSpec
from segsuite.modeling.backbone import VGG
from segsuite.modeling.sem_seg import FCNSkipHead

from .head_contract import HeadContract


class TestFCNSkipHead(HeadContract):
    name = "FCNSkipHead"
    in_features = ("res3", "res4", "res5")


class TestFCNSkipHeadToFullSize(HeadContract):
    name = "FCNSkipHead"
    in_features = ("res4", "res5")
    options = {"MODEL.SEM_SEG_HEAD.TO_FULL_SIZE": True}


SHAPES = {"pool3": ShapeSpec(8, 8), "pool4": ShapeSpec(12, 16), "fc7": ShapeSpec(16, 32)}
FEATURES = {
    "pool3": torch.randn(1, 8, 9, 12),
    "pool4": torch.randn(1, 12, 5, 6),
    "fc7": torch.randn(1, 16, 3, 3),
}


def fcn(*in_features, **kwargs):
    return FCNSkipHead(input_shape=SHAPES, in_features=in_features, num_classes=3, **kwargs).eval()


def test_upsampling_starts_as_bilinear_interpolation():
    head = fcn("pool3", to_full_size=True)
    scores = fcn("pool3")
    scores.load_state_dict(head.state_dict(), strict=False)
    full, small = head(FEATURES), scores(FEATURES)
    assert full.shape == (1, 3, 72, 96)
    expected = F.interpolate(small, scale_factor=8, mode="bilinear")
    # At the border interpolation repeats the outermost pixels, and a convolution adds nothing.
    torch.testing.assert_close(full[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4])


@torch.no_grad()
def test_each_stage_starts_where_the_one_before_ended():
    coarse = fcn("fc7")
    torch.nn.init.normal_(coarse.score["fc7"].bias)
    expected = coarse(FEATURES)
    for in_features in [("pool4", "fc7"), ("pool3", "pool4", "fc7")]:
        finer = fcn(*in_features)
        result = finer.load_state_dict(coarse.state_dict(), strict=False)
        assert not result.unexpected_keys
        h, w = FEATURES[in_features[0]].shape[-2:]
        doubled = F.interpolate(expected, scale_factor=2, mode="bilinear")[..., :h, :w]
        logits = finer(FEATURES)
        torch.testing.assert_close(logits[..., 1:-1, 1:-1], doubled[..., 1:-1, 1:-1])
        coarse, expected = finer, logits


def test_fcn_8s_has_the_papers_size():
    """134 million parameters on VGG-16 with 21 classes."""
    with torch.device("meta"):
        backbone = VGG(out_features=list(SHAPES))
        head = FCNSkipHead(
            input_shape=backbone.output_shape(), in_features=list(SHAPES), num_classes=21
        )
    assert head.stride == 8
    count = sum(p.numel() for m in (backbone, head) for p in m.parameters())
    assert count / 1e6 == pytest.approx(134.4, abs=0.1)


def test_strides_must_double():
    with pytest.raises(ValueError, match=r"\['pool3', 'fc7'\] have strides \[8, 32\]"):
        fcn("fc7", "pool3")
