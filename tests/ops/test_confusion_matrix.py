"""Confusion matrices and label maps: the extension's kernels and the PyTorch reference alike."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.ops import argmax_from_logits, confusion_matrix, confusion_matrix_from_logits
from segsuite.ops._library import _DEVICES, EXTENSION_LOADED
from tests.ops.upsampling import assert_labels
from tests.processes import run_python

MODULE = importlib.import_module("segsuite.ops.confusion_matrix")
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32]
INTEGERS += [torch.int64, torch.uint64]
HALVES = [torch.float16, torch.bfloat16]
requires_extension = pytest.mark.skipif(not EXTENSION_LOADED, reason="the extension is not built")


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=requires_extension),
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                "cuda" not in _DEVICES or not torch.cuda.is_available(),
                reason="no GPU, or the extension has no CUDA kernels",
            ),
        ),
        "reference",
    ],
)
def device(request, monkeypatch):
    """Where the operators run: the kernels of a device, or the reference on the CPU."""
    torch.manual_seed(0)
    if request.param == "reference":
        monkeypatch.setattr(MODULE, "has_kernels", lambda device: False)
        return "cpu"
    return request.param


def count_with_numpy(pred, target, num_classes, ignore_index=255):
    """The matrix by unbuffered addition, pair after pair."""
    pred, target = pred.flatten().numpy(), target.flatten().numpy()
    counted = target.astype(object) != ignore_index if target.size else target == 0
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    codes = [
        np.where((labels >= 0) & (labels < num_classes), labels, num_classes).astype(np.int64)
        for labels in (target[counted], pred[counted])
    ]
    np.add.at(matrix, tuple(codes), 1)
    return torch.from_numpy(matrix)


class TestLabelMaps:
    @pytest.mark.parametrize("pred_type", INTEGERS, ids=str)
    def test_types_may_be_mixed(self, device, pred_type):
        pred = torch.randint(0, 22, (3, 50)).to(pred_type)
        for target_type in INTEGERS:
            target = torch.randint(0, 22, (3, 50)).to(target_type)
            out = confusion_matrix(pred.to(device), target.to(device), 19, ignore_index=20)
            assert torch.equal(out.cpu(), count_with_numpy(pred, target, 19, 20))

    @settings(max_examples=60)
    @given(data=st.data())
    def test_any_labels(self, data):
        low, high = data.draw(st.sampled_from([(-3, 12), (0, 300), (-(2**62), 2**62)]))
        torch.manual_seed(data.draw(st.integers(0, 2**31)))
        n = data.draw(st.integers(0, 200))
        pred, target = (
            torch.where(
                torch.rand(n) < 0.5, torch.randint(0, 4, (n,)), torch.randint(low, high, (n,))
            )
            for _ in range(2)
        )
        num_classes = data.draw(st.integers(1, 12))
        ignore = data.draw(st.sampled_from([255, -1, 0, 2, -(2**62)]))
        out = confusion_matrix(pred, target, num_classes, ignore)
        assert torch.equal(out, count_with_numpy(pred, target, num_classes, ignore))

    @pytest.mark.parametrize("num_classes", [1, 19, 20, 21, 150, 254, 255, 256, 1000])
    def test_numbers_of_classes(self, device, num_classes):
        shape = (2, 40, 50)
        pred, target = (torch.randint(-1, num_classes + 1, shape) for _ in range(2))
        target[0] = target[0, :1]  # runs
        out = confusion_matrix(pred.to(device), target.to(device), num_classes, num_classes)
        assert torch.equal(out.cpu(), count_with_numpy(pred, target, num_classes, num_classes))

    @pytest.mark.parametrize("length", [1, 2, 3, 7, 20, 64, 500])
    def test_runs_of_any_length(self, device, length):
        labels = torch.randint(0, 5, (2, 5000 // length + 1)).repeat_interleave(length, 1)
        pred, target = labels[:, :4999].byte()
        out = confusion_matrix(pred.to(device), target.to(device), 5)
        assert torch.equal(out.cpu(), count_with_numpy(pred, target, 5))

    def test_ignored_and_outside(self, device):
        pred = torch.tensor([0, 255, 7, -1, 1], device=device)
        target = torch.tensor([255, 0, 1, -1, 9], device=device)
        out = confusion_matrix(pred, target, 2)
        assert out.tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 1]]

    def test_ignored_may_be_a_class(self, device):
        pred, target = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
        out = confusion_matrix(pred.to(device), target.to(device), 2, ignore_index=0)
        assert out.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]

    def test_ignored_that_the_type_cannot_hold(self, device):
        labels = torch.tensor([255, 0, 1], dtype=torch.uint8, device=device)
        assert confusion_matrix(labels, labels, 2, ignore_index=-1).sum() == 3
        assert confusion_matrix(labels, labels, 2, ignore_index=511).sum() == 3

    def test_adds_to_out(self, device):
        labels = torch.tensor([0, 1], device=device)
        out = torch.full((3, 3), 7, device=device)
        assert confusion_matrix(labels, labels, 2, out=out) is out
        assert out.tolist() == [[8, 7, 7], [7, 8, 7], [7, 7, 7]]

    @pytest.mark.parametrize("shape", [(0,), (3, 0, 5)])
    def test_empty(self, device, shape):
        labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        assert confusion_matrix(labels, labels, 3).sum() == 0

    def test_scalar(self, device):
        label = torch.tensor(1, device=device)
        assert confusion_matrix(label, label, 2)[1, 1] == 1

    def test_strides(self, device):
        pred = torch.randint(0, 5, (30, 40), device=device).t()
        target = torch.randint(0, 5, (40, 1), device=device).expand(40, 30)
        expected = confusion_matrix(pred.contiguous(), target.contiguous(), 5)
        assert torch.equal(confusion_matrix(pred, target, 5), expected)
        assert torch.equal(
            confusion_matrix(pred[::3, 1::2], target[::3, 1::2], 5),
            confusion_matrix(pred[::3, 1::2].clone(), target[::3, 1::2].clone(), 5),
        )


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


@requires_extension
def test_any_number_of_threads_counts_the_same():
    torch.manual_seed(0)
    logits = torch.randn(3, 19, 30, 50)
    target = torch.randint(0, 20, (3, 241, 403), dtype=torch.uint8)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            pred = argmax_from_logits(logits, (241, 403))
            matrix = confusion_matrix_from_logits(logits, target, 19, per_image=True)
            results.append((pred, matrix, confusion_matrix(pred, target, 19)))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@requires_extension
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_each_instruction_set(isa):
    """The kernels of instruction sets below the machine's best, in a process of their own."""
    script = """
import torch
from segsuite.ops import argmax_from_logits, confusion_matrix, confusion_matrix_from_logits
from tests.ops.upsampling import assert_labels
torch.manual_seed(0)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        logits = torch.randn(2, 19, 20, 30).to(dtype).to(memory_format=memory_format)
        logits[0, 3, 5:8, 5:8] = torch.nan
        pred = argmax_from_logits(logits, (99, 201), (18.5, 30))
        assert_labels(pred, logits, (99, 201), (18.5, 30))
        for labels in (pred, pred[0, 0].expand_as(pred)):
            target = labels.roll(3, 2).long() - 1
            entry = (target.where(target >= 0, 19) * 20 + labels).flatten()
            expected = torch.bincount(entry, minlength=400).view(20, 20)
            assert torch.equal(confusion_matrix(labels, target, 19), expected)
        target = torch.randint(0, 20, pred.shape)
        matrix = confusion_matrix_from_logits(logits, target, 19, source_size=(18.5, 30))
        assert torch.equal(matrix, confusion_matrix(pred, target, 19))
"""
    result = run_python("-c", script, environment={"SEGSUITE_CPU_ISA": isa})
    assert result.returncode == 0, result.stderr


LABELS = torch.zeros(4, 4, dtype=torch.uint8)
LOGITS = torch.zeros(1, 3, 2, 2)
TARGET = torch.zeros(1, 4, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LABELS.float(), LABELS, 3), "pred is torch.float32; expected labels of an integer type"),
        ((LABELS, LABELS.bool(), 3), "target is torch.bool"),
        ((LABELS, LABELS[:2], 3), r"pred is \(4, 4\) and target \(2, 4\)"),
        ((LABELS, LABELS, 0), "num_classes is 0; expected 1 to 32767"),
        ((LABELS, LABELS.to("meta"), 3), "pred is on cpu and target on meta"),
        ((LABELS, LABELS, 3, 255, torch.zeros(3, 3)), r"out is \(3, 3\) torch.float32 on cpu; exp"),
        ((LABELS, LABELS, 1, 255, torch.zeros(2, 4).long()[:, ::2]), "expected a contiguous"),
    ],
)
def test_errors_of_label_maps(arguments, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(*arguments)


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


@requires_extension
class TestPyTorch:
    """The operators as PyTorch's compiler, exporter and autocast see them."""

    ops = torch.ops.segsuite

    def test_opcheck(self):
        labels = torch.randint(0, 3, (2, 9, 9))
        logits = torch.randn(2, 3, 4, 4)
        matrix = torch.zeros(4, 4, dtype=torch.int64)
        images = torch.zeros(2, 4, 4, dtype=torch.int64)
        for op, arguments in (
            (self.ops.confusion_matrix, (labels, labels.byte(), 3, 255, matrix)),
            (self.ops.confusion_matrix_from_logits, (logits.half(), labels, 255, None, 2, images)),
            (self.ops.argmax_from_logits, (logits, 9, 5, 2.5, None)),
        ):
            torch.library.opcheck(op.default, arguments)

    @pytest.mark.parametrize(
        "backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
    )
    def test_compiles_into_one_graph(self, backend):
        def evaluate(logits, target, total):
            confusion_matrix_from_logits(logits, target, 3, out=total)
            labels = argmax_from_logits(logits, target.shape[1:], (3.5, 4.0))
            return labels, confusion_matrix(labels, target, 3)

        logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 9, 9))
        compiled = torch.compile(evaluate, fullgraph=True, backend=backend)
        totals = [torch.zeros(4, 4, dtype=torch.int64) for _ in range(2)]
        labels, matrix = evaluate(logits, target, totals[0])
        compiled_labels, compiled_matrix = compiled(logits, target, totals[1])
        assert torch.equal(labels, compiled_labels)
        assert torch.equal(matrix, compiled_matrix)
        assert torch.equal(*totals)

    def test_exports_with_dynamic_sizes(self):
        class Labels(torch.nn.Module):
            def forward(self, logits):
                return argmax_from_logits(logits, (logits.shape[2] * 4, logits.shape[3] * 4))

        sizes = {i: torch.export.Dim(f"size{i}", min=1) for i in (0, 2, 3)}
        program = torch.export.export(
            Labels(), (torch.randn(2, 5, 4, 6),), dynamic_shapes=({**sizes},)
        )
        logits = torch.randn(3, 5, 7, 2)
        assert torch.equal(program.module()(logits), argmax_from_logits(logits, (28, 8)))

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_autocast_takes_halves_as_they_are(self, dtype):
        features, weight = torch.randn(1, 8, 5, 5), torch.randn(4, 8, 1, 1)
        with torch.autocast("cpu", dtype=dtype):
            logits = F.conv2d(features, weight)
            labels = argmax_from_logits(logits, (20, 20))
        assert logits.dtype == dtype
        assert_labels(labels, logits, (20, 20), (5, 5))
