"""Colours that stay with an instance from one frame of a video to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segsuite.data.palette import Color, default_colors

_MIN_IOU = 0.3
_PATIENCE = 12  # frames that an instance may be gone and keeps its colour
_NUM_COLORS = 64


@dataclass
class _Track:
    box: np.ndarray
    label: int
    color: int
    unseen: int = 0


class ColorTracker:
    """Gives instances of successive frames their colours, by the overlap of their boxes."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._colors = default_colors(_NUM_COLORS)
        self._given = 0

    def update(self, boxes: np.ndarray, labels: Sequence[int]) -> list[Color]:
        """The colours of the instances of the next frame.

        An instance takes over the colour of the one of its class in the frames before that it
        overlaps most, the best pairs first; others get a new one.

        Args:
            boxes: (N, 4) x0, y0, x1, y1.
            labels: the class of each.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        iou = _pairwise_iou(boxes, np.array([t.box for t in self._tracks]).reshape(-1, 4))
        same = np.array([[t.label == label for t in self._tracks] for label in labels], dtype=bool)
        iou = np.where(same.reshape(iou.shape), iou, 0.0)
        for track in self._tracks:
            track.unseen += 1
        known: dict[int, _Track] = {}
        while iou.size and iou.max() >= _MIN_IOU:
            i, j = map(int, np.unravel_index(iou.argmax(), iou.shape))
            known[i] = self._tracks[j]
            iou[i], iou[:, j] = 0, 0
        shown = []
        for i, (box, label) in enumerate(zip(boxes, labels, strict=True)):
            if i not in known:
                known[i] = _Track(box, int(label), self._next_color())
                self._tracks.append(known[i])
            known[i].box, known[i].unseen = box, 0
            shown.append(self._colors[known[i].color])
        self._tracks = [t for t in self._tracks if t.unseen <= _PATIENCE]
        return shown

    def _next_color(self) -> int:
        """One that no present instance has, where there is one."""
        used = {t.color for t in self._tracks}
        order = [(self._given + i) % _NUM_COLORS for i in range(_NUM_COLORS)]
        color = next((c for c in order if c not in used), order[0])
        self._given = color + 1
        return color


def _pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) boxes to (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clip(0).prod(-1) for x in (a, b))
    return both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9)
