"""csrc/cuda/batched_nms.cuh without a GPU: emulated against the CPU kernel; through nvcc."""

from __future__ import annotations

import ctypes

import pytest
import torch

from segsuite.ops import batched_nms
from tests.csrc.emulation import assert_compiles_without_spills, emulated, pointer, requires_nvcc
from tests.ops.test_batched_nms import INVALID, random_problem


@pytest.fixture(autouse=True)
def _same_numbers_each_time():
    torch.manual_seed(0)


def assert_is_as_on_the_cpu(boxes, scores, groups, iou_threshold, topk):
    images, length = scores.shape
    indices = torch.full((images, topk), -1, dtype=torch.int64)
    counts = torch.full((images,), -1, dtype=torch.int64)
    emulated("emulate_batched_nms").batched_nms(
        pointer(boxes),
        pointer(scores),
        None if groups is None else pointer(groups),
        ctypes.c_int64(length if groups is not None and groups.dim() == 2 else 0),
        ctypes.c_int64(images),
        length,
        ctypes.c_double(iou_threshold),
        topk,
        pointer(indices),
        pointer(counts),
    )
    expected_indices, expected_counts = batched_nms(boxes, scores, groups, iou_threshold, topk)
    assert torch.equal(counts, expected_counts)
    assert torch.equal(indices, expected_indices)


@pytest.mark.parametrize("iou_threshold", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("length", [1, 64, 65, 300])
def test_small_problems(length, iou_threshold):
    boxes, scores, groups = random_problem(2, length)
    for topk in (1, 40, length + 3):
        assert_is_as_on_the_cpu(boxes, scores, groups, iou_threshold, topk)


def test_groups_of_all_images_or_none():
    boxes, scores, groups = random_problem(2, 200)
    assert_is_as_on_the_cpu(boxes, scores, groups[0], 0.3, 100)
    assert_is_as_on_the_cpu(boxes, scores, None, 0.3, 100)


def test_more_groups_than_slots():
    boxes, scores, groups = random_problem(2, 400, num_groups=100)
    far = torch.tensor([-(2**63), 2**63 - 1, 0, -1, 2**40])[groups % 5]
    assert_is_as_on_the_cpu(boxes, scores, far, 0.3, 300)
    assert_is_as_on_the_cpu(boxes, scores, groups, 0.3, 300)


def test_invalid_entries():
    boxes, scores, groups = random_problem(2, 1500)
    scores[torch.rand(2, 1500) > 0.02] = INVALID
    scores[:, :3] = torch.tensor([torch.nan, torch.inf, 9])
    boxes[:, 2, 1] = torch.nan
    assert_is_as_on_the_cpu(boxes, scores, groups, 0.3, 100)
    assert_is_as_on_the_cpu(boxes, scores.fill_(INVALID), groups, 0.3, 100)


def test_chains_settle_one_after_the_other():
    """Each box overlaps the next one alone."""
    x = torch.arange(200.0)
    boxes = torch.stack([x, x * 0, x + 1.9, x * 0 + 1], 1)[None]
    assert_is_as_on_the_cpu(boxes, -x[None], None, 0.2, 200)


@pytest.mark.parametrize("kind", ["distinct", "equal", "few"])
def test_more_candidates_than_fit_into_shared_memory(kind):
    boxes, _, _ = random_problem(1, 4500, side=200)
    scores = {
        "distinct": torch.randn(1, 4500),
        "equal": torch.zeros(1, 4500),
        "few": torch.randint(0, 3, (1, 4500)).float(),
    }[kind]
    assert_is_as_on_the_cpu(boxes, scores, None, 0.1, 900)
    assert_is_as_on_the_cpu(boxes, scores, torch.arange(4500) % 2, 0.5, 100)


def test_all_that_many_parts_keep():
    boxes, scores, _ = random_problem(1, 4500, side=4000)
    assert_is_as_on_the_cpu(boxes, scores, None, 0.9, 4500)


@requires_nvcc
def test_nvcc_compiles_without_spills():
    assert_compiles_without_spills("compile_batched_nms.cu")
