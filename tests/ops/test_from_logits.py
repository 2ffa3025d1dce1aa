"""Label maps and confusion matrices straight from logits: kernels and the reference alike."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.ops import argmax_from_logits, confusion_matrix_from_logits

from .counting import INTEGERS, count_with_numpy
from .upsampling import assert_labels

HALVES = [torch.float16, torch.bfloat16]
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))


@st.composite
def upsamplings(draw):
    """Logits of some type and strides, an output size and a source size."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    n, k = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 19, 33]))
    h, w = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    dtype = draw(st.sampled_from([torch.float32, *HALVES]))
    strides = draw(st.sampled_from(["contiguous", "channels_last", "transposed", "sliced", "zero"]))
    if strides == "transposed":
        logits = torch.randn(n, k, w, h).to(dtype).transpose(2, 3)
    elif strides == "sliced":
        logits = torch.randn(n, k + 2, h + 1, 2 * w).to(dtype)[:, 1:-1, :h, ::2]
    elif strides == "zero":
        logits = torch.randn(1, k, h, 1).to(dtype).expand(n, k, h, w)
    else:
        logits = torch.randn(n, k, h, w).to(dtype)
        if strides == "channels_last":
            logits = logits.to(memory_format=torch.channels_last)
    if draw(st.booleans()) and strides != "zero":
        logits[-1, k // 2, h // 2, w // 2] = torch.nan
    part = st.floats(0.05, 1)
    source_size = draw(st.one_of(st.none(), st.tuples(part, part)))
    if source_size is not None:
        source_size = (source_size[0] * h, source_size[1] * w)
    return logits, draw(SIZES), source_size


class TestArgmaxFromLogits:
    @settings(max_examples=150)
    @given(case=upsamplings())
    def test_is_the_argmax_of_upsampled_logits(self, case):
        logits, size, source_size = case
        labels = argmax_from_logits(logits, size, source_size)
        assert_labels(labels, logits, size, source_size or logits.shape[2:])

    @pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
    @pytest.mark.parametrize("channels_last", [False, True])
    @pytest.mark.parametrize("num_classes", [1, 19, 150])
    def test_each_device(self, device, dtype, channels_last, num_classes):
        logits = torch.randn(2, num_classes, 9, 13).to(device, dtype)
        if channels_last:
            logits = logits.to(memory_format=torch.channels_last)
        for size, source_size in (((70, 99), (9, 13)), ((31, 60), (7.5, 12.25)), ((4, 3), (9, 13))):
            labels = argmax_from_logits(logits, size, source_size)
            assert_labels(labels, logits, size, source_size)

    def test_matches_interpolate(self, device):
        logits = torch.randn(1, 19, 16, 32, device=device)
        full = F.interpolate(logits, size=(128, 256), mode="bilinear", align_corners=False)
        differ = argmax_from_logits(logits, (128, 256)).long() != full.argmax(1)
        assert differ.float().mean() < 1e-4

    @pytest.mark.parametrize(
        ("num_classes", "dtype"),
        [(1, torch.uint8), (255, torch.uint8), (256, torch.int16), (1000, torch.int16)],
    )
    def test_type_of_the_labels(self, device, num_classes, dtype):
        logits = torch.randn(1, num_classes, 3, 3, device=device)
        labels = argmax_from_logits(logits, (8, 8))
        assert labels.dtype == dtype
        assert_labels(labels, logits, (8, 8), (3, 3))

    def test_lowest_of_equal_classes(self, device):
        logits = torch.randn(1, 4, 6, 6, device=device)
        logits = torch.cat([logits, logits], 1)  # every value twice
        assert (argmax_from_logits(logits, (40, 40)) < 4).all()
        assert (argmax_from_logits(torch.zeros_like(logits), (40, 40)) == 0).all()

    def test_nan_marks_the_pixels_around(self, device):
        logits = torch.randn(1, 3, 5, 5, device=device)
        logits[0, 1, 2, 2] = torch.nan
        labels = argmax_from_logits(logits, (40, 40))[0].cpu()
        has_nan = F.interpolate(logits, size=(40, 40), mode="bilinear")[0].isnan().any(0).cpu()
        assert torch.equal(labels == 3, has_nan)

    def test_minus_infinity_is_never_largest(self, device):
        logits = torch.randn(1, 5, 6, 6, device=device)
        logits[0, 2] = -torch.inf
        logits[0, 4, :3] = -torch.inf
        labels = argmax_from_logits(logits, (50, 50))
        assert (labels < 5).all()
        assert not (labels == 2).any()
        # Weight zero on a finite row and infinity on the other is where arithmetic gives NaN.
        assert not (argmax_from_logits(logits, (6, 6))[0, :3] == 4).any()

    def test_infinities_stay_inside(self, device):
        logits = torch.randn(1, 5, 6, 6, device=device)
        logits[torch.rand_like(logits) < 0.3] = torch.inf
        logits[torch.rand_like(logits) < 0.3] = -torch.inf
        assert (argmax_from_logits(logits, (50, 50)) < 5).all()
        assert (argmax_from_logits(torch.full_like(logits, -torch.inf), (50, 50)) < 5).all()

    def test_extreme_halves(self, device):
        values = torch.tensor([0, 6e-8, 1e-4, 6.1e-5, 65504, -65504], dtype=torch.float16)
        logits = values[torch.randint(0, 6, (1, 4, 8, 8))].to(device)
        full = F.interpolate(logits.float(), scale_factor=1, mode="bilinear")
        assert torch.equal(argmax_from_logits(logits, (8, 8)).long(), full.argmax(1))

    @pytest.mark.parametrize(
        ("batch", "size"), [(0, (8, 8)), (2, (0, 8)), (2, (8, 0)), (1, (1, 1)), (1, (700, 3))]
    )
    def test_sizes_at_the_edge(self, device, batch, size):
        logits = torch.randn(batch, 3, 2, 2, device=device)
        labels = argmax_from_logits(logits, size)
        assert labels.shape == (batch, *size)
        if labels.numel():
            assert_labels(labels, logits, size, (2, 2))

    def test_logits_that_require_grad(self, device):
        logits = torch.randn(1, 3, 4, 4, device=device, requires_grad=True)
        assert not argmax_from_logits(logits, (8, 8)).requires_grad


class TestFromLogits:
    @settings(max_examples=100)
    @given(case=upsamplings(), per_image=st.booleans(), dtype=st.sampled_from(INTEGERS))
    def test_counts_the_argmax(self, case, per_image, dtype):
        logits, size, source_size = case
        n, k = logits.shape[:2]
        target = torch.randint(0, k + 3, (n, *size)).to(dtype)
        out = confusion_matrix_from_logits(
            logits, target, k, k + 1, source_size, per_image=per_image
        )
        pred = argmax_from_logits(logits, size, source_size)
        images = [count_with_numpy(p, t, k, k + 1) for p, t in zip(pred, target, strict=True)]
        expected = torch.stack(images)
        assert torch.equal(out, expected if per_image else expected.sum(0))

    @pytest.mark.parametrize("num_classes", [1, 19, 150, 1000])
    @pytest.mark.parametrize("per_image", [False, True])
    def test_each_device(self, device, num_classes, per_image):
        logits = torch.randn(3, num_classes, 8, 12, device=device)
        logits[:, 0, :4] += 9  # cells that are one class all over
        target = torch.randint(0, num_classes + 2, (3, 31, 47), device=device)
        target[target == num_classes + 1] = 2000
        out = confusion_matrix_from_logits(
            logits, target, num_classes, 2000, per_image=per_image
        ).cpu()
        pred = argmax_from_logits(logits, (31, 47)).cpu()
        images = [
            count_with_numpy(p, t, num_classes, 2000)
            for p, t in zip(pred, target.cpu(), strict=True)
        ]
        assert torch.equal(out, torch.stack(images) if per_image else sum(images))

    def test_all_ignored(self, device):
        logits = torch.randn(2, 5, 4, 4, device=device)
        target = torch.full((2, 30, 30), 255, dtype=torch.uint8, device=device)
        assert confusion_matrix_from_logits(logits, target, 5).sum() == 0

    def test_nan_counts_as_outside(self, device):
        logits = torch.full((1, 2, 3, 3), torch.nan, device=device)
        target = torch.ones((1, 9, 9), dtype=torch.uint8, device=device)
        assert confusion_matrix_from_logits(logits, target, 2)[1].tolist() == [0, 0, 81]

    def test_adds_to_out(self, device):
        logits = torch.randn(2, 3, 4, 4, device=device)
        target = torch.randint(0, 3, (2, 9, 9), device=device)
        once = confusion_matrix_from_logits(logits, target, 3, per_image=True)
        twice = confusion_matrix_from_logits(logits, target, 3, out=once.clone(), per_image=True)
        assert torch.equal(twice, 2 * once)

    @pytest.mark.parametrize("shape", [(0, 8, 8), (2, 0, 8), (2, 8, 0)])
    def test_empty(self, device, shape):
        logits = torch.randn(shape[0], 3, 2, 2, device=device)
        target = torch.zeros(shape, dtype=torch.uint8, device=device)
        assert confusion_matrix_from_logits(logits, target, 3).sum() == 0
        images = confusion_matrix_from_logits(logits, target, 3, per_image=True)
        assert images.shape == (shape[0], 4, 4)

    def test_strided_target(self, device):
        logits = torch.randn(2, 3, 5, 6, device=device)
        target = torch.randint(0, 3, (2, 24, 20), device=device).transpose(1, 2)
        expected = confusion_matrix_from_logits(logits, target.contiguous(), 3)
        assert torch.equal(confusion_matrix_from_logits(logits, target, 3), expected)


LOGITS = torch.zeros(1, 3, 2, 2)
TARGET = torch.zeros(1, 4, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LOGITS[0], TARGET, 3), r"logits are \(3, 2, 2\); expected \(N, K, h, w\)"),
        ((LOGITS[:, :0], TARGET, 3), "with K, h, w > 0"),
        ((LOGITS.double(), TARGET, 3), "logits are torch.float64; expected float32, bfloat16"),
        ((LOGITS, TARGET.float(), 3), "target is torch.float32"),
        ((LOGITS, TARGET[0], 3), r"need a target \(1, H, W\)"),
        ((LOGITS, TARGET.expand(2, 4, 4), 3), r"target is \(2, 4, 4\)"),
        ((LOGITS, TARGET, 4), "have 3 classes, but num_classes is 4"),
        ((LOGITS, TARGET.to("meta"), 3), "logits is on cpu and target on meta"),
        ((LOGITS, TARGET, 3, 255, (2.5, 2)), r"source_size is \(2.5, 2\); expected a part of the"),
        ((LOGITS, TARGET, 3, 255, (0, 2)), "greater than zero"),
        ((LOGITS, TARGET, 3, 255, None, torch.zeros(4, 4)), "out is"),
        ((LOGITS, TARGET, 3, 255, None, torch.zeros(4, 4).long(), True), r"expected \(1, 4, 4\)"),
        ((LOGITS.expand(1, 3, 2, 2)[:, [0] * 40000], TARGET, 40000), "expected 1 to 32767"),
    ],
)
def test_errors_of_logits(arguments, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix_from_logits(*arguments)


def test_error_of_a_negative_size():
    with pytest.raises(ValueError, match=r"size is \(-1, 4\)"):
        argmax_from_logits(LOGITS, (-1, 4))
