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

from .polygons import check_mask_size, drawable

RLE = dict[str, Any]
# Characters of run lengths that are decoded at a time.
_CHUNK = 1 << 20
# Groups of 5 bits in the text of one run: more would not fit into 32 bits.
_MOST_GROUPS = 7


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
    try:
        values = np.asarray(counts)
        runs = values.astype(np.int64)
        good = values.ndim == 1 and values.dtype.kind in "iuf" and bool((runs == values).all())
    except (OverflowError, TypeError, ValueError):
        good = False
    if not good and len(counts if isinstance(counts, (list, tuple)) else [0]):
        raise DataError("the counts of the RLE are not whole numbers, nor text")
    return runs.tolist()


def _check_runs(shortest: int, total: int, pixels: int) -> None:
    fault = _runs_fault(shortest, total, pixels)
    if fault:
        raise DataError(fault)


def _runs_fault(shortest: int, total: int, pixels: int) -> str:
    if shortest < 0:
        return f"the RLE has a run of {shortest} pixels"
    if total != pixels:
        return f"the runs of the RLE add up to {total}; expected height * width = {pixels}"
    return ""


def find_count_faults(counts: Sequence[str | bytes], pixels: np.ndarray) -> dict[int, str]:
    """Which compressed RLEs can't be decoded, or are not as long as their image.

    Args:
        counts: the texts of N masks.
        pixels: (N,) height times width of each.

    Returns:
        What is wrong, by the index of the mask.
    """
    faults: dict[int, str] = {}
    start = 0
    while start < len(counts):
        texts: list[bytes] = []
        length = 0
        while start + len(texts) < len(counts) and length < _CHUNK:
            text = counts[start + len(texts)]
            texts.append(text.encode("utf-8", "replace") if isinstance(text, str) else text)
            length += len(texts[-1])
        shortest, total, undecoded = _decode(texts)
        bad = (shortest < 0) | (total != pixels[start : start + len(texts)])
        for i in bad.nonzero()[0].tolist():
            faults[start + i] = undecoded.get(i) or _runs_fault(
                int(shortest[i]), int(total[i]), int(pixels[start + i])
            )
        start += len(texts)
    return faults


def decode_counts(counts: str | bytes) -> list[int]:
    """The run lengths that the text of a compressed RLE stands for.

    Each number is written in groups of 5 bits, the lowest first, as characters from "0" on; bit 5
    says that more follow. From the fourth on a run is the difference from the one two before it.

    Raises:
        DataError: the text ends within a number or has other characters.
    """
    text = counts.encode("utf-8", "replace") if isinstance(counts, str) else counts
    fault = _text_fault(text)
    if fault:
        raise DataError(fault)
    return _runs([text])[0].tolist()


def _decode(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The shortest run of each text, the sum of its runs, and what is wrong with its characters.

    Of those the shortest run is -1.
    """
    faults = {}
    for i in _suspects(texts):
        fault = _text_fault(texts[i])
        if fault:
            faults[i] = fault
    if faults:
        texts = [b"" if i in faults else text for i, text in enumerate(texts)]
    runs, of_text = _runs(texts)
    total = np.zeros(len(texts), np.int64)
    np.add.at(total, of_text, runs)
    shortest = np.zeros(len(texts), np.int64)
    np.minimum.at(shortest, of_text, runs)
    shortest[list(faults)] = -1
    return shortest, total, faults


def _suspects(texts: list[bytes]) -> list[int]:
    """Texts that may hold characters or numbers that no RLE has."""
    data = np.frombuffer(b"".join(texts), np.uint8)
    ends = np.cumsum([len(text) for text in texts])
    bad = (data < 48) | (data > 111)
    more = (data - 48) & 32 > 0
    long = more.copy()
    for shift in range(1, _MOST_GROUPS):
        long[shift:] &= more[:-shift]
    long[: _MOST_GROUPS - 1] = False
    found = set(np.searchsorted(ends, (bad | long).nonzero()[0], "right").tolist())
    last = np.array([text[-1] if text else 48 for text in texts], np.int64)
    found.update((((last - 48) & 32) > 0).nonzero()[0].tolist())
    return sorted(found)


def _text_fault(text: bytes) -> str:
    groups = 0
    for byte in text:
        if not 48 <= byte < 112:
            return f"the RLE has the character {chr(byte)!r}; expected '0' to 'o'"
        groups = groups + 1 if (byte - 48) & 32 else 0
        if groups >= _MOST_GROUPS:
            return "the RLE has a run of more than 32 bits"
    return "the text of the RLE is cut short" if groups else ""


def _runs(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The runs of texts without fault, one after another, and which text each is of."""
    groups = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    if not len(groups):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    stops = ((groups & 32) == 0).nonzero()[0]
    starts = np.concatenate([[0], stops[:-1] + 1])
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, stops - starts + 1))
    values = np.add.reduceat((groups & 31) << shift, starts)
    negative = (groups[stops] & 16) > 0
    values[negative] -= np.int64(1) << (shift[stops][negative] + 5)
    of_text = np.searchsorted(np.cumsum([len(text) for text in texts]), stops, "right")
    first = np.searchsorted(of_text, np.arange(len(texts)), "left")
    number = np.arange(len(values)) - first[of_text]
    # From the fourth on a run is a difference: sums over every other one, from 1 and from 2 on.
    runs = values.copy()
    for parity in (1, 0):
        chosen = (number % 2 == parity) & (number > 0)
        sums = np.concatenate([[0], np.cumsum(np.where(chosen, values, 0))])
        runs[chosen] = (sums[1:] - sums[first[of_text]])[chosen]
    return runs, of_text


def rasterize_polygons(polygons: Sequence[Sequence[Any]], height: int, width: int) -> Tensor:
    """Draw objects, each the union of its polygons, by the rule of COCO's tools.

    Args:
        polygons: for each of N objects its polygons, ``[x0, y0, x1, y1, ...]``, or none.

    Returns:
        (N, height, width) bool.

    Raises:
        DataError: a polygon of fewer than 3 points, or one with values that are not finite.
    """
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
