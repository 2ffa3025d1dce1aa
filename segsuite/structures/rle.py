"""Run-length encoded masks, in COCO's format.

An RLE is ``{"size": [height, width], "counts": ...}``: the lengths of alternating runs of zeros and
ones, down the columns from the top left. Compressed, `counts` is text; a list of lengths is the
uncompressed form. A segmentation may also be a list of polygons, each ``[x0, y0, x1, y1, ...]``.
See https://github.com/cocodataset/cocoapi, common/maskApi.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.errors import DataError

from .polygons import check_mask_size, drawable
from .run_lengths import find_count_faults, runs_fault

if TYPE_CHECKING:
    from torch import Tensor

RLE = dict[str, Any]


def encode_masks(masks: Tensor) -> list[RLE]:
    """Encode masks, one after another, so that no copy of all of them is made.

    Args:
        masks: (N, H, W) bool, on any device.

    Returns:
        N compressed RLEs with `counts` as str, ready for a JSON file.

    Raises:
        ValueError: another shape or type.
    """
    import torch

    if masks.dim() != 3 or masks.dtype != torch.bool:
        raise ValueError(f"masks are {tuple(masks.shape)} {masks.dtype}; expected (N, H, W) bool")
    return [_encode(mask) for mask in masks]


def _encode(mask: Tensor) -> RLE:
    # The encoder walks down the columns: their values must lie side by side in memory.
    columns = mask.cpu().t().contiguous().numpy().view(np.uint8)
    rle = coco_mask.encode(columns.T)
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def encode_window(window: Tensor, top: int, left: int, image_size: tuple[int, int]) -> RLE:
    """Encode a mask that is known in a window of the image and empty outside of it.

    Args:
        window: (h, w) bool.
        top, left: the window's first row and column in the image.
        image_size: (height, width) of the image.

    Returns:
        A compressed RLE with `counts` as str.
    """
    height, width = image_size
    h, w = window.shape
    # Where the window is lower than the image a row of zeros ends the runs of each column.
    columns = window.new_zeros(w, min(h + 1, height))
    columns[:, :h] = window.t()
    values = np.zeros(columns.numel() + 2, dtype=np.bool_)
    values[1:-1] = columns.flatten().cpu().numpy()
    edges = (values[1:] != values[:-1]).nonzero()[0]
    column, row = np.divmod(edges, columns.shape[1])
    edges = (left + column) * height + row + top * (h < height)
    if not len(edges) or edges[-1] < height * width:
        edges = np.append(edges, height * width)
    counts = np.diff(edges, prepend=0).tolist()
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def decode_masks(rles: Sequence[RLE], height: int, width: int) -> Tensor:
    """Decode compressed RLEs of one size.

    Returns:
        (N, height, width) bool; N may be 0.

    Raises:
        DataError: an RLE of another size.
    """
    import torch

    for i, rle in enumerate(rles):
        if list(rle["size"]) != [height, width]:
            raise DataError(
                f"RLE {i} is of a mask of {rle['size'][0]} x {rle['size'][1]} pixels (height x "
                f"width); expected {height} x {width}"
            )
    if not rles:
        return torch.zeros(0, height, width, dtype=torch.bool)
    decoded = coco_mask.decode(list(rles))  # (H, W, N) in column order: contiguous as (N, W, H)
    masks = torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1)))
    return masks.view(torch.bool)


def to_rle(segmentation: list | RLE, height: int, width: int) -> RLE:
    """A segmentation of COCO's, in any of its forms, as one compressed RLE.

    Args:
        segmentation: polygons, an uncompressed or a compressed RLE.
        height, width: of the image, in pixels.

    Raises:
        DataError: a polygon of fewer than 3 points or with values that are not finite; an RLE that
            lacks a key, of another size, or one whose runs are negative or do not add up to it.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            raise DataError("the segmentation has no polygon")
        polygons = [p for p in drawable(segmentation, height, width) if len(p)]
        if not polygons:  # beyond the image, all of them
            return coco_mask.frPyObjects(
                {"size": [height, width], "counts": [height * width]}, height, width
            )
        return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    missing = [key for key in ("size", "counts") if segmentation.get(key) is None]
    if missing:
        raise DataError(f"the RLE has no '{missing[0]}'; expected size [height, width] and counts")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        shown = " x ".join(map(str, size)) if isinstance(size, (list, tuple)) else repr(size)
        raise DataError(
            f"the RLE is of a mask of {shown} pixels (height x width), "
            f"the image has {height} x {width}"
        )
    check_mask_size(height, width)
    if isinstance(counts, (str, bytes)):
        faults = find_count_faults([counts], np.array([height * width]))
        if faults:
            raise DataError(faults[0])
        return {"size": [height, width], "counts": counts}
    runs = _as_runs(counts)
    _check_runs(min(runs, default=0), sum(runs), height * width)
    rle = {"size": [height, width], "counts": runs}
    return coco_mask.frPyObjects(rle, height, width)


def _as_runs(counts: Any) -> list[int]:
    """The lengths of an uncompressed RLE as integers."""
    is_plain = type(counts) is list and set(map(type, counts)) == {int}
    if is_plain and min(counts) >= 0 and max(counts) < 1 << 63:
        return counts  # as nearly all are, those of COCO's crowds
    try:
        values = np.asarray(counts)
        with np.errstate(invalid="ignore"):
            runs = values.astype(np.int64)
        good = values.ndim == 1 and values.dtype.kind in "iuf" and bool((runs == values).all())
    except (OverflowError, TypeError, ValueError):
        good = False
    if not good and len(counts if isinstance(counts, (list, tuple)) else [0]):
        raise DataError("the counts of the RLE are not whole numbers, nor text")
    return runs.tolist()


def _check_runs(shortest: int, total: int, pixels: int) -> None:
    fault = runs_fault(shortest, total, pixels)
    if fault:
        raise DataError(fault)


def rasterize_polygons(polygons: Sequence[Sequence[Any]], height: int, width: int) -> Tensor:
    """Draw objects, each the union of its polygons, by the rule of COCO's tools.

    Args:
        polygons: for each of N objects its polygons, ``[x0, y0, x1, y1, ...]``, or none.

    Returns:
        (N, height, width) bool.

    Raises:
        DataError: a polygon of fewer than 3 points, or one with values that are not finite.
    """
    import torch

    # One of which nothing is near the image is drawn as a point beyond it.
    flat = [
        p if len(p) else np.full(6, -1.0)
        for p in drawable([p for of_object in polygons for p in of_object], height, width)
    ]
    masks = np.zeros((len(polygons), height, width), dtype=bool)
    if flat:
        drawn = coco_mask.decode(coco_mask.frPyObjects(flat, height, width)).transpose(2, 0, 1)
        counts = np.array([len(of_object) for of_object in polygons])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # Of an object without polygons, `reduceat` would take the next one's.
        masks[counts > 0] = np.logical_or.reduceat(drawn, starts[counts > 0], axis=0)
    return torch.from_numpy(masks)
