"""Heads of another class list: rows of classes that both lists have are carried over by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

# Rows per class, and rows besides (the background of `cls_score`): masks and semantic scores, box
# classes, boxes.
_LAYOUTS = ((1, 0), (1, 1), (4, 0))
_PREDICTOR = re.compile(r"(predictor|linear_pred|cls_score|bbox_pred)\.(weight|bias)$")
# Pascal VOC's names for COCO's.
_SYNONYMS = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "motorcycle": "motorbike",
    "tv": "tvmonitor",
}


def differing_classes(name: str, theirs: Sequence[str] | None, ours: Sequence[str] | None) -> bool:
    """Whether parameter `name` scores classes of two known lists that are not the same."""
    if theirs is None or ours is None or not _PREDICTOR.search(name):
        return False
    return [_canonical(n) for n in theirs] != [_canonical(n) for n in ours]


def carry_rows(
    source: torch.Tensor,
    target: torch.Tensor,
    theirs: Sequence[str] | None,
    ours: Sequence[str] | None,
) -> tuple[torch.Tensor, int]:
    """`target` with the rows of `source` whose class has the same name.

    Args:
        source, target: (rows, ...) scores or boxes of the classes `theirs` and `ours`, with the
            background's row last where there is one; what follows the rows is of one shape.

    Returns:
        The tensor, and how many rows came from `source`: 0 if a list is missing or does not fit.
    """
    theirs, ours = theirs or (), ours or ()
    layout = next(
        (
            (per, extra)
            for per, extra in _LAYOUTS
            if len(source) == per * len(theirs) + extra and len(target) == per * len(ours) + extra
        ),
        None,
    )
    if layout is None:
        return target, 0
    per, extra = layout
    rows = {_canonical(name): i for i, name in enumerate(theirs)}
    pairs = [(rows[key], i) for i, n in enumerate(ours) if (key := _canonical(n)) in rows]
    result, taken = target.clone(), per * len(pairs)
    for i, j in pairs:
        result[per * j : per * j + per] = source[per * i : per * i + per]
    if extra and pairs:
        result[-1], taken = source[-1], taken + 1
    return result, taken


def _canonical(name: str) -> str:
    """ "__background__" and "Potted plant" -> "background", "pottedplant"."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return _SYNONYMS.get(plain, plain)
