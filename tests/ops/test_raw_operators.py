"""The operators of the extension, called without the wrappers that check their arguments: what does
not fit is an error, never a read or write out of bounds."""

from __future__ import annotations

import pytest
import torch

from segsuite.ops import EXTENSION_LOADED

pytestmark = pytest.mark.skipif(not EXTENSION_LOADED, reason="the extension is not built")

HUGE = 2**62
LABELS = torch.zeros(2, 6, 7, dtype=torch.int64)
LOGITS = torch.randn(2, 3, 4, 5)
FEATURES = torch.randn(2, 8, 9, 10)
ROIS = torch.tensor([[0.0, 1, 1, 6, 5], [1, 0, 0, 3, 3]])


def out(*size: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.zeros(size, dtype=dtype)


def ops():
    return torch.ops.segsuite


@pytest.mark.parametrize(
    ("pred", "target", "num_classes", "result"),
    [
        (LABELS.bool(), LABELS, 3, out(4, 4)),
        (LABELS, LABELS.bool(), 3, out(4, 4)),
        (LABELS.half(), LABELS.half(), 3, out(4, 4)),
        (LABELS.float(), LABELS, 3, out(4, 4)),
        (LABELS.to(torch.complex64), LABELS, 3, out(4, 4)),
        (LABELS, LABELS[:1], 3, out(4, 4)),
        (LABELS, LABELS, 0, out(1, 1)),
        (LABELS, LABELS, -1, out(0, 0)),
        (LABELS, LABELS, -2, out(1)),
        (LABELS, LABELS, 40000, out(1)),
        (LABELS, LABELS, HUGE, out(1)),
        (LABELS, LABELS, 3, out(16)),
        (LABELS, LABELS, 3, out(3, 3)),
        (LABELS, LABELS, 3, out(4, 4, dtype=torch.int32)),
        (LABELS, LABELS, 3, out(4, 8)[:, ::2]),
    ],
)
def test_confusion_matrix(pred, target, num_classes, result):
    with pytest.raises(RuntimeError):
        ops().confusion_matrix(pred, target, num_classes, 255, result)


@pytest.mark.parametrize(
    ("logits", "target", "source", "result"),
    [
        (LOGITS.double(), LABELS, (None, None), out(4, 4)),
        (LOGITS.long(), LABELS, (None, None), out(4, 4)),
        (LOGITS[0], LABELS, (None, None), out(4, 4)),
        (LOGITS[:, :0], LABELS, (None, None), out(1, 1)),
        (LOGITS[:, :, :0], LABELS, (None, None), out(4, 4)),
        (LOGITS, LABELS[0], (None, None), out(4, 4)),
        (LOGITS, LABELS[:1], (None, None), out(4, 4)),
        (LOGITS, LABELS.bool(), (None, None), out(4, 4)),
        (LOGITS, LABELS.half(), (None, None), out(4, 4)),
        (LOGITS, LABELS, (0.0, None), out(4, 4)),
        (LOGITS, LABELS, (None, 5.5), out(4, 4)),
        (LOGITS, LABELS, (float("nan"), None), out(4, 4)),
        (LOGITS, LABELS, (None, -1.0), out(4, 4)),
        (LOGITS, LABELS, (None, None), out(3, 3)),
        (LOGITS, LABELS, (None, None), out(1, 4, 4)),
        (LOGITS, LABELS, (None, None), out(4, 4, dtype=torch.uint8)),
    ],
)
def test_confusion_matrix_from_logits(logits, target, source, result):
    with pytest.raises(RuntimeError):
        ops().confusion_matrix_from_logits(logits, target, 255, *source, result)


@pytest.mark.parametrize(
    ("logits", "height", "width", "source"),
    [
        (LOGITS, -1, 5, (None, None)),
        (LOGITS, 5, -HUGE, (None, None)),
        (LOGITS, HUGE, HUGE, (None, None)),
        (LOGITS, 2**31, 1, (None, None)),
        (LOGITS.bool(), 5, 5, (None, None)),
        (LOGITS[:0, 0], 5, 5, (None, None)),
        (LOGITS, 5, 5, (float("inf"), None)),
    ],
)
def test_argmax_from_logits(logits, height, width, source):
    with pytest.raises(RuntimeError):
        ops().argmax_from_logits(logits, height, width, *source)


IMAGE = torch.zeros(8, 9, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("image", "window"),
    [
        (IMAGE.float(), (4, 4, 0, 0, 2, 2)),
        (IMAGE[..., :2], (4, 4, 0, 0, 2, 2)),
        (IMAGE[0], (4, 4, 0, 0, 2, 2)),
        (IMAGE[:0], (4, 4, 0, 0, 2, 2)),
        (IMAGE, (4, 4, 0, 0, 5, 2)),
        (IMAGE, (4, 4, -1, 0, 2, 2)),
        (IMAGE, (4, 4, 0, 3, 2, 2)),
        (IMAGE, (4, 4, 0, 0, 0, 2)),
        (IMAGE, (-4, 4, 0, 0, 2, 2)),
        (IMAGE, (4, 4, HUGE, 0, HUGE, 2)),
        (IMAGE, (HUGE, HUGE, HUGE - 1, 0, 1, 1)),
    ],
)
def test_resize_window(image, window):
    with pytest.raises(RuntimeError):
        ops().resize_window(image, *window)


BOXES = torch.rand(2, 5, 4)
SCORES = torch.rand(2, 5)
GROUPS = torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("boxes", "scores", "groups", "threshold", "topk"),
    [
        (BOXES.half(), SCORES, None, 0.5, 3),
        (BOXES.double(), SCORES, None, 0.5, 3),
        (BOXES.long(), SCORES, None, 0.5, 3),
        (BOXES[0], SCORES[0], None, 0.5, 3),
        (BOXES[..., :3], SCORES, None, 0.5, 3),
        (BOXES, SCORES[:, :4], None, 0.5, 3),
        (BOXES, SCORES[:1], None, 0.5, 3),
        (BOXES, SCORES[..., None], None, 0.5, 3),
        (BOXES, SCORES.double(), None, 0.5, 3),
        (BOXES, SCORES.bool(), None, 0.5, 3),
        (BOXES, SCORES, GROUPS.int(), 0.5, 3),
        (BOXES, SCORES, GROUPS.bool(), 0.5, 3),
        (BOXES, SCORES, GROUPS[:4], 0.5, 3),
        (BOXES, SCORES, GROUPS.expand(1, 5), 0.5, 3),
        (BOXES, SCORES, GROUPS.expand(3, 2, 5), 0.5, 3),
        (BOXES, SCORES, GROUPS[0], 0.5, 3),
        (BOXES, SCORES, None, -0.5, 3),
        (BOXES, SCORES, None, float("nan"), 3),
        (BOXES, SCORES, None, 0.5, -1),
        (BOXES, SCORES, None, 0.5, HUGE),
        (BOXES, SCORES, None, 0.5, 2**31),
        (BOXES[:0], SCORES[:0], None, 0.5, -HUGE),
    ],
)
def test_batched_nms(boxes, scores, groups, threshold, topk):
    with pytest.raises(RuntimeError):
        ops().batched_nms(boxes, scores, groups, threshold, topk)


@pytest.mark.parametrize(
    ("x", "bias", "residual", "upsample"),
    [
        (FEATURES.long(), None, None, False),
        (FEATURES.bool(), None, None, False),
        (FEATURES.to(torch.complex64), None, None, False),
        (FEATURES[0], None, None, False),
        (FEATURES[:, :, ::2], None, None, False),
        (FEATURES[:, :, :, 1:], None, None, False),
        (FEATURES[:, :1].expand(2, 8, 9, 10), None, None, False),
        (FEATURES, torch.zeros(9), None, False),
        (FEATURES, torch.zeros(8, 1), None, False),
        (FEATURES, torch.zeros(16)[::2], None, False),
        (FEATURES, torch.zeros(8).half(), None, False),
        (FEATURES, torch.zeros(8).double(), None, False),
        (FEATURES.double(), torch.zeros(8), None, False),
        (FEATURES, None, FEATURES[:1], False),
        (FEATURES, None, FEATURES[0], False),
        (FEATURES, None, FEATURES.half(), False),
        (FEATURES, None, FEATURES.to(memory_format=torch.channels_last), False),
        (FEATURES, None, FEATURES[:, :, :8, :8], False),
        (FEATURES, None, FEATURES, True),
        (FEATURES, None, torch.zeros(2, 8, 4, 5), True),
        (FEATURES, None, None, True),
    ],
)
def test_conv_epilogue(x, bias, residual, upsample):
    before = x.clone()
    with pytest.raises(RuntimeError):
        ops().conv_epilogue_(x, bias, residual, upsample, True)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("features", "rois", "pooled", "scale", "sampling"),
    [
        (FEATURES.long(), ROIS, (7, 7), 1.0, 0),
        (FEATURES.bool(), ROIS, (7, 7), 1.0, 0),
        (FEATURES[0], ROIS, (7, 7), 1.0, 0),
        (FEATURES[:, :, :0], ROIS, (7, 7), 1.0, 0),
        (FEATURES, ROIS.double(), (7, 7), 1.0, 0),
        (FEATURES, ROIS.half(), (7, 7), 1.0, 0),
        (FEATURES, ROIS[:, :4], (7, 7), 1.0, 0),
        (FEATURES, ROIS[0], (7, 7), 1.0, 0),
        (FEATURES, ROIS, (0, 7), 1.0, 0),
        (FEATURES, ROIS, (7, -7), 1.0, 0),
        (FEATURES, ROIS, (HUGE, HUGE), 1.0, 0),
        (FEATURES, ROIS, (7, 7), 0.0, 0),
        (FEATURES, ROIS, (7, 7), -1.0, 0),
        (FEATURES, ROIS, (7, 7), float("nan"), 0),
        (FEATURES, ROIS, (7, 7), float("inf"), 0),
        (FEATURES, ROIS, (7, 7), 1.0, HUGE),
    ],
)
def test_roi_align(features, rois, pooled, scale, sampling):
    with pytest.raises(RuntimeError):
        ops().roi_align(features, rois, *pooled, scale, sampling, True)


@pytest.mark.parametrize(
    "rois",
    [
        ROIS + torch.tensor([2.0, 0, 0, 0, 0]),
        ROIS - torch.tensor([2.0, 0, 0, 0, 0]),
        ROIS * float("nan"),
        ROIS * float("inf"),
    ],
)
def test_roi_align_pools_bad_rois_as_nan(rois):
    assert ops().roi_align(FEATURES, rois, 7, 7, 1.0, 0, True).isnan().all()


@pytest.mark.parametrize(
    ("grad", "rois", "size"),
    [
        (torch.randn(1, 8, 7, 7), ROIS, [2, 8, 9, 10]),
        (torch.randn(2, 7, 7, 7), ROIS, [2, 8, 9, 10]),
        (torch.randn(2, 8, 7), ROIS, [2, 8, 9, 10]),
        (torch.ones(2, 8, 7, 7, dtype=torch.int32), ROIS, [2, 8, 9, 10]),
        (torch.randn(2, 8, 7, 7), ROIS, [2, 8, 9]),
        (torch.randn(2, 8, 7, 7), ROIS, []),
        (torch.randn(2, 8, 7, 7), ROIS, [-2, 8, 9, 10]),
        (torch.randn(2, 8, 7, 7), ROIS, [2, 8, -9, 10]),
        (torch.randn(2, 8, 7, 7), ROIS, [2, 8, HUGE, HUGE]),
    ],
)
def test_roi_align_backward(grad, rois, size):
    with pytest.raises(RuntimeError):
        ops().roi_align_backward(grad, rois, size, False, 1.0, 2, True)


@pytest.mark.parametrize(
    ("features", "scales", "canonical"),
    [
        ([], [], (224, 4)),
        ([FEATURES], [], (224, 4)),
        ([FEATURES], [1.0, 0.5], (224, 4)),
        ([FEATURES, FEATURES[:1]], [1.0, 0.5], (224, 4)),
        ([FEATURES, FEATURES[:, :4]], [1.0, 0.5], (224, 4)),
        ([FEATURES, FEATURES.half()], [1.0, 0.5], (224, 4)),
        ([FEATURES, FEATURES], [1.0, 0.5], (0, 4)),
        ([FEATURES, FEATURES], [1.0, 0.5], (-HUGE, 4)),
        ([FEATURES, FEATURES], [1.0, 0.5], (224, HUGE)),
    ],
)
def test_multilevel_roi_align(features, scales, canonical):
    with pytest.raises(RuntimeError):
        ops().multilevel_roi_align(features, ROIS, 7, 7, scales, 2, True, *canonical)
