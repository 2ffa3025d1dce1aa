"""The masks of all objects of a file, in a few arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..cache.columns import take_parts
from .coco_annotations import Segmentation

NONE, POLYGONS, RLE = 0, 1, 2


@dataclass(frozen=True)
class Segmentations:
    """Masks of N objects, each polygons, a compressed RLE, or none.

    Attributes:
        forms: (N,) uint8: `NONE`, `POLYGONS` or `RLE`.
        polygon_ends: (N,) int64: how many polygons the objects have up to and with each.
        value_ends: (P,) int64: how many values the polygons have up to and with each.
        values: (V,) float64: x0, y0, x1, y1, ... of all polygons, in pixels.
        text_ends: (N,) int64: how many characters the RLEs have up to and with each.
        texts: (C,) uint8: the ``counts`` of all RLEs.
    """

    forms: np.ndarray
    polygon_ends: np.ndarray
    value_ends: np.ndarray
    values: np.ndarray
    text_ends: np.ndarray
    texts: np.ndarray

    def __len__(self) -> int:
        return len(self.forms)

    def get(self, index: int, height: int, width: int) -> Segmentation | None:
        """The mask of an object: float64 arrays, which are views, an RLE, or None.

        Args:
            height, width: of its image.
        """
        form = self.forms[index]
        if form == POLYGONS:
            first = self.polygon_ends[index - 1] if index else 0
            start = self.value_ends[first - 1] if first else 0
            polygons = []
            for end in self.value_ends[first : self.polygon_ends[index]].tolist():
                polygons.append(self.values[start:end])
                start = end
            return polygons
        if form == RLE:
            first = self.text_ends[index - 1] if index else 0
            text = self.texts[first : self.text_ends[index]].tobytes().decode("ascii")
            return {"size": [height, width], "counts": text}
        return None

    @classmethod
    def pack(cls, segmentations: Sequence[Any]) -> Segmentations:
        """Of masks in COCO's forms that are known to be right.

        Args:
            segmentations: of each object a list of polygons (lists of numbers or arrays), a
                compressed RLE, or None.
        """
        types = set(map(type, segmentations))
        is_rle = np.zeros(len(segmentations), bool)
        texts = [b""] * len(segmentations)
        if dict in types:
            for i, segmentation in enumerate(segmentations):
                if type(segmentation) is dict:
                    is_rle[i], texts[i] = True, _text(segmentation["counts"])
        polygons_of: Sequence[Any] = segmentations
        if not types <= {list}:
            polygons_of = [s if type(s) is list else () for s in segmentations]
        num_polygons = np.fromiter(map(len, polygons_of), np.int64, len(polygons_of))
        polygons = list(chain.from_iterable(polygons_of))
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        values = flatten(polygons, int(lengths.sum()))
        return cls(
            forms=np.where(is_rle, RLE, np.where(num_polygons > 0, POLYGONS, NONE)).astype(
                np.uint8
            ),
            polygon_ends=np.cumsum(num_polygons),
            value_ends=np.cumsum(lengths),
            values=values,
            text_ends=np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts))),
            texts=np.frombuffer(b"".join(texts), np.uint8),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Segmentations]) -> Segmentations:
        """Of the objects of several, one after another."""

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        def shifted(name: str, sizes: Iterable[int]) -> np.ndarray:
            offsets = np.cumsum([0, *sizes])
            return np.concatenate(
                [getattr(p, name) + offset for p, offset in zip(parts, offsets[:-1], strict=True)]
            )

        return cls(
            forms=joined("forms"),
            polygon_ends=shifted("polygon_ends", (len(p.value_ends) for p in parts)),
            value_ends=shifted("value_ends", (len(p.values) for p in parts)),
            values=joined("values"),
            text_ends=shifted("text_ends", (len(p.texts) for p in parts)),
            texts=joined("texts"),
        )

    def take(self, order: np.ndarray) -> Segmentations:
        """Of some of the objects, by their numbers, in this order."""
        numbers = np.arange(len(self.value_ends))
        polygons, numbers = take_parts(_starts(self.polygon_ends), numbers, order)
        points, values = take_parts(_starts(self.value_ends), self.values, numbers)
        characters, texts = take_parts(_starts(self.text_ends), self.texts, order)
        return Segmentations(
            forms=self.forms[order],
            polygon_ends=polygons[1:],
            value_ends=points[1:],
            values=values,
            text_ends=characters[1:],
            texts=texts,
        )


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), ends])


def flatten(polygons: Sequence[Any], total: int) -> np.ndarray:
    """The values of polygons, one after another, `total` of them, as float64."""
    return np.fromiter(chain.from_iterable(polygons), np.float64, total)


def _text(counts: str | bytes) -> bytes:
    return counts.encode("ascii") if isinstance(counts, str) else counts
