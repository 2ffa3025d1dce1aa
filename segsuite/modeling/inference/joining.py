"""From what a detector finds in overlapping tiles to the objects of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from segsuite.layers import batched_nms
from segsuite.structures.image_masks import Window

# Two detections are one object from this IoU on, in the part of the image that both tiles see.
_SAME_IOU = 0.5
# A detection that its tile cuts belongs to one that covers this share of it.
_COVERED = 0.75
# How near to a border inside the image, as a share of the tile, a box counts as cut by it.
_NEAR = 1 / 64

Rectangle = tuple[float, float, float, float]


@dataclass
class Piece:
    """What a detector found in a tile, in pixels of the whole image.

    Attributes:
        tile: row and column of the tile.
        seen: top, left, bottom, right of what the tile shows.
        label: the class.
        box: x0, y0, x1, y1.
        mask: its window, see `ImageMasks`; None of a detector without masks.
        image_size: (height, width).
    """

    tile: tuple[int, int]
    seen: Rectangle
    label: int
    score: float
    box: tuple[float, ...]
    mask: Window | None
    image_size: tuple[int, int]
    is_cut: bool = field(init=False)

    def __post_init__(self) -> None:
        top, left, bottom, right = self.seen
        x0, y0, x1, y1 = self.box
        near_y, near_x = (bottom - top) * _NEAR, (right - left) * _NEAR
        height, width = self.image_size
        self.is_cut = (
            (top > 0 and y0 < top + near_y)
            or (left > 0 and x0 < left + near_x)
            or (bottom < height and y1 > bottom - near_y)
            or (right < width and x1 > right - near_x)
        )

    def area(self, within: Rectangle) -> float:
        """The pixels of the mask, or the box, in a rectangle: top, left, bottom, right."""
        if self.mask is None:
            top, left, bottom, right = _overlap(self._box_rectangle, within)
            return max(bottom - top, 0) * max(right - left, 0)
        return float(self._part(within)[2].sum())

    def shared(self, other: Piece, within: Rectangle) -> float:
        """The area that the two share in a rectangle."""
        if self.mask is None or other.mask is None:
            return self.area(_overlap(other._box_rectangle, within))
        within = _overlap(_overlap(self._window, other._window), within)
        if within[2] <= within[0] or within[3] <= within[1]:
            return 0.0
        return float((self._part(within)[2] & other._part(within)[2]).sum())

    def window(self) -> Window:
        """The mask, or of a detector without masks the pixels of the box."""
        if self.mask is not None:
            return self.mask
        x0, y0, x1, y1 = (round(v) for v in self.box)
        top, left = max(y0, 0), max(x0, 0)
        size = (
            max(min(y1, self.image_size[0]) - top, 0),
            max(min(x1, self.image_size[1]) - left, 0),
        )
        return top, left, torch.ones(size, dtype=torch.bool)

    def touches(self, other: Piece) -> bool:
        """Whether the boxes have a point in common."""
        top, left, bottom, right = _overlap(self._box_rectangle, other._box_rectangle)
        return bottom >= top and right >= left

    @property
    def _box_rectangle(self) -> Rectangle:
        x0, y0, x1, y1 = self.box
        return y0, x0, y1, x1

    @property
    def _window(self) -> Rectangle:
        assert self.mask is not None
        top, left, pixels = self.mask
        return top, left, top + pixels.shape[0], left + pixels.shape[1]

    def _part(self, within: Rectangle) -> tuple[int, int, Tensor]:
        """The mask's pixels in a rectangle, whose borders are rounded."""
        assert self.mask is not None
        top, left, pixels = self.mask
        rows = slice(max(round(within[0]) - top, 0), max(round(within[2]) - top, 0))
        columns = slice(max(round(within[1]) - left, 0), max(round(within[3]) - left, 0))
        return top + rows.start, left + columns.start, pixels[rows, columns]


def join_pieces(pieces: Sequence[Piece], nms_threshold: float = 0.5) -> list[Piece]:
    """Make one object of the detections of one.

    Two detections of a class in neighbouring tiles are one object where they agree in the part of
    the image that both tiles see: their masks (or boxes) have an IoU of a half there, or one that
    its tile cuts lies in the other by three quarters. Of one tile no two are joined. An object that
    a tile shows whole is taken from there; of others the parts are united. It has the best score of
    its parts. At last of two objects whose boxes overlap, the worse is dropped, as in the model.

    Returns:
        The objects, in no order.
    """
    groups = _Groups(pieces)
    for _, i, j in sorted(_agreements(pieces), reverse=True):
        groups.join(i, j)
    objects = [_object([pieces[i] for i in members]) for members in groups.members()]
    if not objects:
        return []
    boxes = torch.tensor([o.box for o in objects])
    scores, labels = (torch.tensor([getattr(o, n) for o in objects]) for n in ("score", "label"))
    kept = batched_nms(boxes, scores.float(), labels, nms_threshold)
    return [objects[i] for i in kept.tolist()]


def _agreements(pieces: Sequence[Piece]) -> Iterator[tuple[float, int, int]]:
    """How well detections of neighbouring tiles agree that are one object, and which they are."""
    by_tile: dict[tuple[int, int], list[int]] = {}
    for i, piece in enumerate(pieces):
        by_tile.setdefault(piece.tile, []).append(i)
    tiles = sorted(by_tile)
    for number, tile in enumerate(tiles):
        for other in tiles[number + 1 :]:
            both = _overlap(pieces[by_tile[tile][0]].seen, pieces[by_tile[other][0]].seen)
            if both[2] <= both[0] or both[3] <= both[1]:
                continue
            for i in by_tile[tile]:
                for j in by_tile[other]:
                    agreement = _agreement(pieces[i], pieces[j], both)
                    if agreement:
                        yield agreement, i, j


def _agreement(a: Piece, b: Piece, both: Rectangle) -> float:
    """The share by which two detections agree; 0 where they are not of one object."""
    if a.label != b.label or not a.touches(b):
        return 0.0
    shared = a.shared(b, both)
    if not shared:
        return 0.0
    areas = a.area(both), b.area(both)
    iou = shared / (sum(areas) - shared)
    covered = [shared / area for area, p in zip(areas, (a, b), strict=True) if p.is_cut and area]
    best = max(covered, default=0.0)
    if iou >= _SAME_IOU:
        return max(iou, best)
    return best if best >= _COVERED else 0.0


class _Groups:
    """Detections that are one object: at most one of each tile."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._tiles = [{piece.tile} for piece in pieces]
        self._parents = list(range(len(pieces)))

    def join(self, i: int, j: int) -> None:
        """Make one group of two, unless they have detections of one tile."""
        a, b = self._root(i), self._root(j)
        if a != b and self._tiles[a].isdisjoint(self._tiles[b]):
            self._parents[b] = a
            self._tiles[a] |= self._tiles[b]

    def members(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for i in range(len(self._parents)):
            found.setdefault(self._root(i), []).append(i)
        return list(found.values())

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i


def _object(parts: Sequence[Piece]) -> Piece:
    score = max(part.score for part in parts)
    whole = [part for part in parts if not part.is_cut]
    if whole:
        # The best that shows it whole, unless a part goes on outside of it.
        best = max(whole, key=lambda part: part.score)
        image = (0.0, 0.0, float(best.image_size[0]), float(best.image_size[1]))
        others = (part for part in parts if part is not best)
        outside = [p for p in others if best.shared(p, image) < _COVERED * p.area(image)]
        parts = [best, *outside]
    corners = torch.tensor([part.box for part in parts])
    box = (*corners[:, :2].amin(0).tolist(), *corners[:, 2:].amax(0).tolist())
    return replace(parts[0], score=score, box=box, mask=_united(parts))


def _united(parts: Sequence[Piece]) -> Window | None:
    windows = [part.mask for part in parts if part.mask is not None]
    if len(windows) < 2:
        return windows[0] if windows else None
    top, left = min(w[0] for w in windows), min(w[1] for w in windows)
    bottom = max(w[0] + w[2].shape[0] for w in windows)
    right = max(w[1] + w[2].shape[1] for w in windows)
    pixels = windows[0][2].new_zeros(bottom - top, right - left)
    for y, x, window in windows:
        pixels[y - top : y - top + window.shape[0], x - left : x - left + window.shape[1]] |= window
    return top, left, pixels


def _overlap(a: Rectangle, b: Rectangle) -> Rectangle:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
