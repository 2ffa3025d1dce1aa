"""Run-length encoded masks, in COCO's format.

An RLE is ``{"size": [height, width], "counts": ...}``: the lengths of alternating runs of zeros and
ones, down the columns from the top left. Compressed, `counts` is text; a list of lengths is the
uncompressed form. A segmentation may also be a list of polygons, each ``[x0, y0, x1, y1, ...]``.
See https://github.com/cocodataset/cocoapi, common/maskApi.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from segsuite.errors import DataError

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
    if masks.dim() != 3 or masks.dtype != torch.bool:
        raise ValueError(f"masks are {tuple(masks.shape)} {masks.dtype}; expected (N, H, W) bool")
    return [_encode(mask) for mask in masks]


def _encode(mask: Tensor) -> RLE:
    # The encoder walks down the columns: their values must lie side by side in memory.
    columns = mask.cpu().t().contiguous().view(torch.uint8).numpy()
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
        DataError: a polygon of fewer than 3 points; an RLE of another size, or one whose runs are
            negative or do not add up to it.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            raise DataError("the segmentation has no polygon")
        check_polygons(segmentation)
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    size, counts = segmentation["size"], segmentation["counts"]
    if list(size) != [height, width]:
        raise DataError(
            f"the RLE is of a mask of {size[0]} x {size[1]} pixels (height x width), "
            f"the image has {height} x {width}"
        )
    runs = counts if isinstance(counts, list) else decode_counts(counts)
    if min(runs, default=0) < 0:
        raise DataError(f"the RLE has a run of {min(runs)} pixels")
    if sum(runs) != height * width:
        raise DataError(
            f"the runs of the RLE add up to {sum(runs)}; expected {height} * {width} = "
            f"{height * width}"
        )
    rle = {"size": [height, width], "counts": counts}
    return coco_mask.frPyObjects(rle, height, width) if isinstance(counts, list) else rle


def decode_counts(counts: str | bytes) -> list[int]:
    """The run lengths that the text of a compressed RLE stands for.

    Each number is written in groups of 5 bits, the lowest first, as characters from "0" on; bit 5
    says that more follow. From the fourth on a run is the difference from the one two before it.

    Raises:
        DataError: the text ends within a number or has other characters.
    """
    data = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    value = shift = 0
    for byte in data:
        group = byte - 48
        if not 0 <= group < 64:
            raise DataError(f"the RLE has the character {chr(byte)!r}; expected '0' to 'o'")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError("the text of the RLE is cut short")
    return runs


def check_polygons(polygons: Sequence[Sequence[float] | np.ndarray]) -> None:
    """Check polygons ``[x0, y0, x1, y1, ...]``.

    Raises:
        DataError: one has fewer than 3 points, or an odd number of values.
    """
    for i, polygon in enumerate(polygons):
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(
                f"polygon {i} has {len(polygon)} values; expected x0, y0, x1, y1, ... "
                "of 3 points or more"
            )


def rasterize_polygons(polygons: Sequence[Sequence[Any]], height: int, width: int) -> Tensor:
    """Draw objects, each the union of its polygons, by the rule of COCO's tools.

    Args:
        polygons: for each of N objects its polygons, ``[x0, y0, x1, y1, ...]``, or none.

    Returns:
        (N, height, width) bool.
    """
    flat = [polygon for of_object in polygons for polygon in of_object]
    masks = np.zeros((len(polygons), height, width), dtype=bool)
    if flat:
        drawn = coco_mask.decode(coco_mask.frPyObjects(flat, height, width)).transpose(2, 0, 1)
        counts = np.array([len(of_object) for of_object in polygons])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # Of an object without polygons, `reduceat` would take the next one's.
        masks[counts > 0] = np.logical_or.reduceat(drawn, starts[counts > 0], axis=0)
    return torch.from_numpy(masks)
