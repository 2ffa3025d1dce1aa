"""RoIAlign of a pyramid: the extension's kernels and the PyTorch reference alike."""

from __future__ import annotations

import pytest
import torch
import torchvision.ops

from segsuite.ops import multilevel_roi_align

from .operators import assert_same_for_any_number_of_threads, requires_extension
from .rois import FEW_ROIS, random_rois

FORMATS = [torch.contiguous_format, torch.channels_last]


class TestLevels:
    SCALES = (0.25, 0.125, 0.0625, 0.03125)

    def features(self, device, dtype=torch.float64, **kwargs):
        return [
            torch.randn(2, 7, round(160 * s), round(192 * s), dtype=dtype, device=device, **kwargs)
            for s in self.SCALES
        ]

    @pytest.mark.parametrize("sampling_ratio", [0, 2])
    def test_same_as_level_by_level(self, device, sampling_ratio):
        features = self.features(device, requires_grad=True)
        rois = random_rois(60, 2, 160, 192).double().to(device)
        pooled = multilevel_roi_align(features, rois, 3, self.SCALES, sampling_ratio, True, 32, 3)
        size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
        level = (3 + torch.log2(size / 32)).floor().clamp(2, 5).long() - 2
        assert len(level.unique()) == 4
        expected = torch.zeros_like(pooled)
        for i, (x, scale) in enumerate(zip(features, self.SCALES, strict=True)):
            here = (level == i).nonzero()[:, 0]
            part = torchvision.ops.roi_align(x, rois[here], 3, scale, sampling_ratio, True)
            expected = expected.index_put((here,), part)
        torch.testing.assert_close(pooled, expected, atol=1e-12, rtol=0)
        grad = torch.randn_like(pooled)
        grads = torch.autograd.grad(pooled, features, grad)
        for result, reference in zip(
            grads, torch.autograd.grad(expected, features, grad), strict=True
        ):
            torch.testing.assert_close(result, reference, atol=1e-11, rtol=0)

    @pytest.mark.parametrize("size, level", [(111, 0), (112, 1), (223, 1), (224, 2), (448, 3)])
    def test_equation_one(self, device, size, level):
        features = [torch.full((1, 1, 32, 32), float(i), device=device) for i in range(4)]
        rois = torch.tensor([[0.0, 0, 0, size, size]], device=device)
        scales = [1 / 8, 1 / 16, 1 / 32, 1 / 64]
        # Size 224 is of level 5, the third.
        pooled = multilevel_roi_align(features, rois, 1, scales, 1, canonical_level=5)
        assert pooled.item() == level

    def test_boxes_without_area_go_to_the_finest_level(self, device):
        features = [torch.full((1, 1, 4, 4), float(i), device=device) for i in range(2)]
        rois = torch.tensor([[0.0, 3, 3, 3, 9]], device=device)
        assert multilevel_roi_align(features, rois, 1, [0.25, 0.125], 1).item() == 0

    def test_levels_without_rois_have_zero_gradients(self, device):
        features = self.features(device, requires_grad=True)
        rois = torch.tensor([[1.0, 0, 0, 30, 30]], device=device)
        multilevel_roi_align(features, rois, 7, self.SCALES).sum().backward()
        assert [x.grad is not None and bool(x.grad.any()) for x in features] == [
            *(True, False, False, False)
        ]
        assert not features[0].grad[0].any()


@requires_extension
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("channels", [3, 100])
def test_any_number_of_threads_gives_the_same(memory_format, channels):
    torch.manual_seed(0)
    features = [
        torch.randn(2, channels, 50 >> i, 64 >> i).to(memory_format=memory_format) for i in range(3)
    ]
    rois = random_rois(100, 2, 400, 512)
    grad = torch.randn(100, channels, 7, 7)

    def run():
        leaves = [x.clone().requires_grad_() for x in features]
        pooled = multilevel_roi_align(leaves, rois, 7, [1 / 8, 1 / 16, 1 / 32], 2)
        return pooled.detach(), *torch.autograd.grad(pooled, leaves, grad)

    assert_same_for_any_number_of_threads(run)


def test_gradcheck_of_a_pyramid(device):
    features = [
        torch.randn(2, 1, 4 >> i, 6 >> i, dtype=torch.float64, device=device) for i in range(2)
    ]
    for x in features:
        x.requires_grad_()
    rois = FEW_ROIS.double().to(device)
    pool = lambda *x: multilevel_roi_align(x, rois, 2, [0.5, 0.25], 2, True, 10, 2)  # noqa: E731
    assert torch.autograd.gradcheck(pool, features)
    assert torch.autograd.gradgradcheck(pool, features)


X = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    "features, scales, kwargs, message",
    [
        ([], [], {}, "features is empty"),
        ([X], [0.5, 0.25], {}, "1 feature maps and 2 scales"),
        ([X, X[:1]], [0.5, 0.25], {}, "expected the same N, C and type"),
        ([X, X.double()], [0.5, 0.25], {}, "expected the same N, C and type"),
        ([X, X], [0.5, 0.125], {}, "each half of the one before"),
        ([X, X], [0.25, 0.5], {}, "each half of the one before"),
        ([X, X], [0.3, 0.15], {}, "expected powers of two"),
        ([X], [0.5], {"canonical_box_size": 0}, "canonical_box_size is 0"),
    ],
)
def test_errors(features, scales, kwargs, message):
    with pytest.raises(ValueError, match=message):
        multilevel_roi_align(features, FEW_ROIS, 7, scales, **kwargs)
