"""What the built-in semantic data sets have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..catalog import DatasetCatalog, MetadataCatalog
from ..palette import Color
from ..sem_seg import IGNORE_LABEL


def register_sem_seg(
    name: str,
    load: Callable[[], list[dict]],
    classes: Mapping[str, Color],
    label_map: Mapping[int, int] | None = None,
) -> None:
    """Register a semantic data set whose pixels of no class are labelled `IGNORE_LABEL`.

    Args:
        load: gives the records.
        classes: RGB colour by class name, in the order of the ids.
        label_map: stored value -> class id or `IGNORE_LABEL`; None: class ids are stored.
    """
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        stuff_classes=list(classes),
        stuff_colors=list(classes.values()),
        ignore_label=IGNORE_LABEL,
        label_map=label_map,
        evaluator_type="sem_seg",
    )
