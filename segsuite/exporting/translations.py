"""segsuite's operators as standard ONNX operators, for ``torch.onnx.export``.

Each function stands for an operator of `segsuite.ops` where a graph is translated, takes the same
arguments, and writes nodes of ONNX that compute the same: RoiAlign for every level of a pyramid,
NonMaxSuppression with results of a fixed size. Annotations tell the exporter what it passes: what
is `Any` is a value of the graph, all else a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from segsuite.ops import EXTENSION_LOADED

# The least finite float32: what is above it is a score.
_LOWEST = torch.finfo(torch.float32).min


def translation_table() -> dict[Callable, Callable]:
    """What `torch.onnx.export` takes as `custom_translation_table`; empty where the extension, of
    which the operators are, is not built."""
    if not EXTENSION_LOADED:
        return {}
    ops = torch.ops.segsuite
    return {
        ops.roi_align.default: roi_align,
        ops.multilevel_roi_align.default: multilevel_roi_align,
        ops.batched_nms.default: batched_nms,
    }


def roi_align(
    input: Any,
    rois: Any,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Any:
    """`segsuite.ops.roi_align`."""
    op, int64 = _opset()
    image = op.Cast(op.Gather(rois, 0, axis=1), to=int64)
    boxes = op.Slice(rois, [1], [5], [1])
    if aligned and sampling_ratio <= 0:
        # An empty RoI has no samples and pools zeros, as one of a pixel does that lies far outside.
        # OpenVINO would divide by the number of samples.
        sides = op.Sub(op.Slice(boxes, [2], [4], [1]), op.Slice(boxes, [0], [2], [1]))
        is_empty = op.LessOrEqual(op.ReduceMin(sides, [1], keepdims=1), 0.0)
        boxes = op.Where(is_empty, [-30001.0, -30001.0, -30000.0, -30000.0], boxes)
    return op.RoiAlign(
        input,
        op.CastLike(boxes, input),
        image,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        output_height=pooled_height,
        output_width=pooled_width,
        sampling_ratio=max(sampling_ratio, 0),
        spatial_scale=spatial_scale,
    )


def multilevel_roi_align(
    features: Sequence[Any],
    rois: Any,
    pooled_height: int,
    pooled_width: int,
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
    canonical_box_size: int,
    canonical_level: int,
) -> Any:
    """`segsuite.ops.multilevel_roi_align`: each level pools the RoIs that are its own, and the
    results are put in the order of the RoIs."""
    op, _ = _opset()
    size, options = (pooled_height, pooled_width), (sampling_ratio, aligned)
    if len(features) == 1:
        return roi_align(features[0], rois, *size, spatial_scales[0], *options)
    level = _levels(rois, spatial_scales, canonical_box_size, canonical_level)
    pooled, places = [], []
    for i, (feature, scale) in enumerate(zip(features, spatial_scales, strict=True)):
        place = op.Squeeze(op.NonZero(op.Equal(level, i)), [0])
        pooled.append(roi_align(feature, op.Gather(rois, place), *size, scale, *options))
        places.append(place)
    place = op.Concat(*places, axis=0)
    found_at = op.ScatterElements(place, place, _numbers(op.Size(place)), axis=0)
    return op.Gather(op.Concat(*pooled, axis=0), found_at)


def batched_nms(
    boxes: Any,
    scores: Any,
    groups: Any | None,
    iou_threshold: float,
    topk: Any,
) -> tuple[Any, Any]:
    """`segsuite.ops.batched_nms`: one NonMaxSuppression of the valid boxes of all images, of which
    every group of every image is a class."""
    op, int64 = _opset()
    # The number is a constant or, where it depends on the image's size, a value of the graph.
    most = op.Reshape(op.Cast(topk, to=int64), [1])
    # Comparisons are false for NaN, too.
    is_finite = op.Cast(op.Less(op.Abs(boxes), math.inf), to=int64)
    is_valid = op.And(
        op.Greater(scores, -math.inf), op.Equal(op.ReduceMin(is_finite, [2], keepdims=0), 1)
    )
    candidates = op.Transpose(op.NonZero(is_valid), perm=[1, 0])  # (M, 2)
    num_images = op.Gather(op.Shape(scores), 0)
    classes, num_classes = op.Gather(candidates, 0, axis=1), num_images
    if groups is not None:
        of_box = op.Expand(op.Cast(groups, to=int64), op.Shape(scores))
        num_groups = op.Add(op.ReduceMax(of_box, keepdims=0), 1)
        classes = op.Add(op.Mul(classes, num_groups), op.GatherND(of_box, candidates))
        num_classes = op.Mul(num_images, num_groups)
    # One more candidate, of no class: some runtimes do not take none.
    candidate_boxes = op.Pad(op.GatherND(boxes, candidates), [0, 0, 1, 0])
    candidate_scores = op.Pad(op.GatherND(scores, candidates), [0, 1], -math.inf)
    classes = op.Pad(classes, [0, 1], -1)
    is_class = op.Equal(op.Unsqueeze(_numbers(num_classes), [1]), op.Unsqueeze(classes, [0]))
    class_scores = op.Where(is_class, op.Unsqueeze(candidate_scores, [0]), -math.inf)
    selected = op.NonMaxSuppression(
        op.Unsqueeze(candidate_boxes, [0]),
        op.Unsqueeze(class_scores, [0]),
        most,
        [_threshold(iou_threshold)],
        [_LOWEST],
    )
    kept = op.Gather(candidates, op.Gather(selected, 2, axis=1))  # (S, 2)
    # Room for `topk` where there are fewer boxes.
    nothing = op.Expand(-math.inf, op.Add(op.Shape(scores), op.Pad(most, [1, 0])))
    top, index = op.TopK(op.ScatterND(nothing, kept, op.GatherND(scores, kept)), most)
    is_kept = op.Greater(top, -math.inf)
    return op.Where(is_kept, index, 0), op.ReduceSum(op.Cast(is_kept, to=int64), [1], keepdims=0)


def _levels(
    rois: Any, spatial_scales: Sequence[float], canonical_box_size: int, canonical_level: int
) -> Any:
    """`segsuite.ops.roi_align.assign_levels`. Sizes are compared with powers of two: quotients of
    logarithms are not exact at the borders."""
    op, int64 = _opset()
    sides = op.Sub(op.Slice(rois, [3], [5], [1]), op.Slice(rois, [1], [3], [1]))
    area = op.ReduceProd(sides, [1], keepdims=1)
    size = op.Add(op.Div(op.Sqrt(area), float(canonical_box_size)), 1e-8)
    finest = round(-math.log2(spatial_scales[0]))
    levels = range(finest + 1, finest + len(spatial_scales))
    borders = [2.0 ** (level - canonical_level) for level in levels]
    reached = op.Cast(op.GreaterOrEqual(size, borders), to=int64)
    return op.ReduceSum(reached, [1], keepdims=0)


def _numbers(count: Any) -> Any:
    """0 to `count` - 1, int64."""
    op, _ = _opset()
    return op.Range(0, count, 1)


def _threshold(iou: float) -> float:
    """What an IoU is compared with. ONNX drops what is above it, OpenVINO also what reaches it, so
    it is the float32 next to the threshold, on the side where `iou` itself, as float32, is right
    with both."""
    nearest = torch.tensor(iou, dtype=torch.float32)
    beyond = -math.inf if float(nearest) > iou else math.inf
    return float(nearest.nextafter(torch.tensor(beyond)))


def _opset() -> tuple[Any, Any]:
    """What writes nodes, and the type of whole numbers. Its own types know no arguments of the
    exporter."""
    from onnxscript import INT64, opset18

    return opset18, INT64.dtype
