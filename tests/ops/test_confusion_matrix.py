"""The confusion matrix of label maps: the extension's kernels and the PyTorch reference alike.

What is common to all of its operators is here too: threads, instruction sets, the compiler.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.ops import argmax_from_logits, confusion_matrix, confusion_matrix_from_logits
from tests.processes import run_python

from .counting import INTEGERS, count_with_numpy
from .operators import assert_same_for_any_number_of_threads, requires_extension
from .upsampling import assert_labels

HALVES = [torch.float16, torch.bfloat16]


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


@requires_extension
def test_any_number_of_threads_counts_the_same():
    torch.manual_seed(0)
    logits = torch.randn(3, 19, 30, 50)
    target = torch.randint(0, 20, (3, 241, 403), dtype=torch.uint8)

    def run():
        pred = argmax_from_logits(logits, (241, 403))
        matrix = confusion_matrix_from_logits(logits, target, 19, per_image=True)
        return pred, matrix, confusion_matrix(pred, target, 19)

    assert_same_for_any_number_of_threads(run)


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
