"""The figure of an evaluation that a model is judged by, unless one is named."""

from __future__ import annotations

from collections.abc import Iterable

# Of the tasks, the one that contains most of the others comes first.
_BY_TASK = ("panoptic_seg/PQ", "segm/AP", "bbox/AP", "sem_seg/mIoU", "box_proposals/AR@1000")


def main_metric(names: Iterable[str]) -> str | None:
    """The first of `names` that is the main figure of its task: PQ, mask AP, box AP, mIoU.

    Args:
        names: of figures, such as ``segm/AP``, or ``my_val/segm/AP`` where there are several data
            sets, whose order counts.
    """
    names = list(names)
    for figure in _BY_TASK:
        for name in names:
            if name == figure or name.endswith(f"/{figure}"):
                return name
    return None
