from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import nms

from segsuite.ops import batched_nms

from .operators import assert_same_for_any_number_of_threads, requires_extension

INVALID = -torch.inf


def random_problem(num_images, length, num_groups=3, side=60):
    """Boxes of whole pixels, many alike, with scores that are often equal and some invalid."""
    corner = torch.randint(0, side, (num_images, length, 2)).float()
    size = torch.randint(0, side // 2, (num_images, length, 2)).float()
    scores = torch.randint(-4, 9, (num_images, length)).float() / 8
    scores[scores < -0.4] = INVALID
    groups = torch.randint(-1, num_groups - 1, (num_images, length))
    return torch.cat([corner, corner + size], 2), scores, groups


def image_by_image(boxes, scores, groups, iou_threshold, topk):
    """The kept indices of each image, through torchvision's operator for each group."""
    if groups is None:
        groups = torch.zeros_like(scores, dtype=torch.int64)
    expected = []
    for box, score, group in zip(boxes, scores, groups.expand(scores.shape), strict=True):
        kept = []
        for value in group.unique():
            here = ((group == value) & (score > INVALID) & box.isfinite().all(1)).nonzero()[:, 0]
            kept += here[nms(box[here].float(), score[here].float(), iou_threshold)].tolist()
        kept.sort(key=lambda i: (-float(score[i]), i))
        expected.append(kept[:topk])
    return expected


def assert_keeps(device, boxes, scores, groups, iou_threshold, topk):
    tensors = [x if x is None else x.to(device) for x in (boxes, scores, groups)]
    indices, counts = batched_nms(*tensors, iou_threshold, topk)
    assert indices.shape == (len(boxes), topk)
    assert counts.shape == (len(boxes),)
    assert indices.dtype == counts.dtype == torch.int64
    expected = image_by_image(boxes, scores, groups, iou_threshold, topk)
    assert counts.tolist() == [len(kept) for kept in expected]
    assert indices.tolist() == [kept + [0] * (topk - len(kept)) for kept in expected]


@pytest.mark.parametrize("iou_threshold", [0, 0.1, 0.5, 0.7, 1, 7.5])
@pytest.mark.parametrize("length", [1, 17, 300])
def test_keeps_what_torchvision_keeps(device, length, iou_threshold):
    for topk in (1, 20, length + 3):
        assert_keeps(device, *random_problem(3, length), iou_threshold, topk)


def test_groups_of_all_images_or_none(device):
    boxes, scores, groups = random_problem(3, 100)
    assert_keeps(device, boxes, scores, groups[0], 0.3, 50)
    assert_keeps(device, boxes, scores, None, 0.3, 50)


def test_any_group_values(device):
    boxes, scores, groups = random_problem(2, 200, num_groups=100)
    far = torch.tensor([-(2**63), 2**63 - 1, 0, -1, 2**40])[groups % 5]
    assert_keeps(device, boxes, scores, far, 0.3, 100)
    assert_keeps(device, boxes, scores, groups, 0.3, 100)


def test_equal_scores_by_index(device):
    boxes = torch.tensor([[0.0, 0, 9, 9], [50, 50, 60, 60], [1, 0, 9, 9], [0, 0, 9, 9]])
    scores = torch.tensor([0.0, -0.0, 0.0, 0.0])
    indices, counts = batched_nms(boxes[None].to(device), scores[None].to(device), None, 0.5, 4)
    assert indices.tolist() == [[0, 1, 0, 0]]
    assert counts.tolist() == [2]


def test_the_threshold_itself_does_not_suppress(device):
    boxes = torch.tensor([[[0.0, 0, 2, 1], [1, 0, 2, 1]]], device=device)  # IoU 1/2
    scores = torch.tensor([[2.0, 1]], device=device)
    assert batched_nms(boxes, scores, None, 0.5, 2)[1].item() == 2
    assert batched_nms(boxes, scores, None, 0.4999, 2)[1].item() == 1


def test_invalid_entries_are_not_there(device):
    boxes, scores, groups = random_problem(2, 60)
    bad = torch.tensor([torch.inf, -torch.inf, torch.nan])
    for entry in range(12):
        boxes[:, entry, entry % 4] = bad[entry % 3]
    scores[:, :12] = 9
    scores[:, 12:15] = torch.tensor([torch.nan, -torch.inf, torch.inf])
    assert_keeps(device, boxes, scores, groups, 0.3, 60)


def test_nothing_valid(device):
    boxes, scores, groups = random_problem(2, 30)
    assert_keeps(device, boxes, scores.fill_(INVALID), groups, 0.5, 8)


def test_boxes_without_area_or_turned_round(device):
    boxes, scores, groups = random_problem(2, 80, side=4)
    boxes[:, ::3] = boxes[:, ::3, [2, 3, 0, 1]]
    assert_keeps(device, boxes, scores, groups, 0.2, 80)


def test_huge_and_tiny_boxes(device):
    boxes, scores, groups = random_problem(1, 90)
    exponent = torch.randint(0, 3, (1, 90, 1)) * 30 - 30
    assert_keeps(device, boxes * 10.0**exponent * 3e6, scores, groups, 0.2, 90)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_empty(device, shape):
    boxes, scores = torch.zeros(*shape, 4, device=device), torch.zeros(shape, device=device)
    for topk in (0, 3):
        indices, counts = batched_nms(boxes, scores, None, 0.5, topk)
        assert indices.tolist() == [[0] * topk] * shape[0]
        assert counts.tolist() == [0] * shape[0]


def test_topk_of_none(device):
    boxes, scores, groups = random_problem(2, 5)
    assert_keeps(device, boxes, scores, groups, 0.5, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(device, dtype):
    boxes, scores, groups = random_problem(2, 150)
    boxes, scores = (boxes + 0.3).to(dtype), scores.to(dtype)
    assert_keeps(device, boxes, scores, groups, 0.3, 99)
    assert_keeps(device, boxes.float(), scores, groups, 0.3, 99)


def test_any_strides(device):
    boxes, scores, groups = random_problem(3, 40)
    by_columns = boxes.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert_keeps(device, by_columns, scores.T.contiguous().T, groups.T.contiguous().T, 0.4, 30)
    one = boxes[:1].expand(3, -1, -1)
    assert_keeps(device, one, scores, groups[0, ::2].repeat_interleave(2), 0.4, 30)


def test_looks_at_no_values(device):
    """There are none on the meta device, where a look at one is an error."""
    boxes, scores, groups = (x.to("meta") for x in random_problem(2, 9))
    indices, counts = batched_nms(boxes, scores, groups, 0.5, 4)
    assert indices.shape == (2, 4)
    assert counts.shape == (2,)


def test_no_gradient(device):
    boxes, scores, groups = (x.to(device) for x in random_problem(1, 9))
    for result in batched_nms(boxes.requires_grad_(), scores.requires_grad_(), groups, 0.5, 4):
        assert not result.requires_grad


@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(0, 40))
def test_random_problems(seed, iou_threshold, topk):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(2, 40, 4, generator=generator) * 9
    boxes[..., 2:] += boxes[..., :2]
    scores = torch.rand(2, 40, generator=generator)
    groups = torch.randint(0, 2, (40,), generator=generator)
    assert_keeps("cpu", boxes, scores, groups, iou_threshold, topk)


def test_many_candidates_before_topk_are_kept(device):
    """What is sorted first does not suffice."""
    boxes, scores, groups = random_problem(1, 3000, side=12)
    scores = torch.rand(1, 3000)
    assert_keeps(device, boxes, scores, groups, 0.2, 40)
    assert_keeps(device, boxes, scores, groups, 0.2, 3000)


def test_any_number_of_threads_keeps_the_same():
    boxes, scores, groups = random_problem(40, 900)
    assert_same_for_any_number_of_threads(lambda: batched_nms(boxes, scores, groups, 0.5, 200))


def test_boxes_anywhere_in_memory(device):
    boxes, scores, groups = random_problem(2, 30)
    storage = torch.empty(2 * 30 * 4 + 1)
    shifted = storage[1:].view(2, 30, 4).copy_(boxes)
    assert_keeps(device, shifted, scores, groups, 0.4, 20)


@requires_extension
class TestPyTorch:
    """The operator as PyTorch's compiler and exporter see it."""

    def test_opcheck(self):
        boxes, scores, groups = random_problem(2, 30)
        op = torch.ops.segsuite.batched_nms.default
        for some_groups in (groups, groups[0], None):
            torch.library.opcheck(op, (boxes, scores, some_groups, 0.5, 7))

    def test_compiles_into_one_graph(self):
        def detect(boxes, scores, groups):
            indices, counts = batched_nms(boxes, scores, groups, 0.5, 7)
            return scores.gather(1, indices), counts

        compiled = torch.compile(detect, fullgraph=True, dynamic=True, backend="aot_eager")
        for length in (20, 30):
            arguments = random_problem(2, length)
            for result, expected in zip(compiled(*arguments), detect(*arguments), strict=True):
                assert torch.equal(result, expected)

    def test_exports_with_dynamic_sizes(self):
        class Detect(torch.nn.Module):
            def forward(self, boxes, scores, groups):
                return batched_nms(boxes, scores, groups, 0.5, 7)

        n, length = torch.export.Dim("n"), torch.export.Dim("length")
        sizes = ({0: n, 1: length}, {0: n, 1: length}, {0: length})
        boxes, scores, groups = random_problem(2, 20)
        program = torch.export.export(Detect(), (boxes, scores, groups[0]), dynamic_shapes=sizes)
        boxes, scores, groups = random_problem(3, 50)
        result = program.module()(boxes, scores, groups[0])
        for exported, expected in zip(
            result, batched_nms(boxes, scores, groups[0], 0.5, 7), strict=True
        ):
            assert torch.equal(exported, expected)


BOXES, SCORES, GROUPS = torch.zeros(2, 3, 4), torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((BOXES[0], SCORES[0], None, 0.5, 3), r"boxes are \(3, 4\); expected \(N, L, 4\)"),
        ((BOXES[..., :3], SCORES, None, 0.5, 3), r"boxes are \(2, 3, 3\)"),
        ((BOXES, SCORES[:, :2], None, 0.5, 3), r"scores are \(2, 2\) .* expected \(2, 3\)"),
        ((BOXES.long(), SCORES, None, 0.5, 3), "boxes are torch.int64; expected float32"),
        ((BOXES.double(), SCORES, None, 0.5, 3), "boxes are torch.float64; expected float32"),
        ((BOXES, SCORES.bool(), None, 0.5, 3), "scores are torch.bool; expected float32"),
        ((BOXES, SCORES, GROUPS.int(), 0.5, 3), "groups are torch.int32; expected int64"),
        ((BOXES, SCORES, GROUPS[:2], 0.5, 3), r"groups are \(2,\) .* expected \(3,\) for all"),
        ((BOXES, SCORES, GROUPS.expand(1, 3), 0.5, 3), r"groups are \(1, 3\)"),
        ((BOXES, SCORES.to("meta"), None, 0.5, 3), "scores are on meta and boxes on cpu"),
        ((BOXES, SCORES, GROUPS.to("meta"), 0.5, 3), "groups are on meta and boxes on cpu"),
        ((BOXES, SCORES, None, -0.1, 3), "iou_threshold is -0.1; expected a number from 0 on"),
        ((BOXES, SCORES, None, float("nan"), 3), "iou_threshold is nan"),
        ((BOXES, SCORES, None, 0.5, -1), "topk is -1; expected 0 or more"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        batched_nms(*arguments)
