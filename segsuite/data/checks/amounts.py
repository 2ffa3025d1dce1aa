"""Whether there is anything to learn from label maps: the pixels of each label."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segsuite.errors import DataError
from segsuite.structures import num_labels

from ..catalog import Metadata, MetadataCatalog

logger = logging.getLogger(__name__)

_SHOWN = 5


@dataclass
class LabelAmounts:
    """What the label maps of data sets hold.

    Attributes:
        pixels: by label, the ignored one among them.
        maps: how many label maps there are.
        empty: those of which every pixel is ignored, by file name.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    maps: int = 0
    empty: list[str] = field(default_factory=list)

    def add(self, file_name: str, pixels: Mapping[int, int], ignore_label: int) -> None:
        """Take in a label map."""
        self.pixels.update(pixels)
        self.maps += 1
        if not pixels.keys() - {ignore_label}:
            self.empty.append(file_name)

    def __iadd__(self, other: LabelAmounts) -> LabelAmounts:
        self.pixels.update(other.pixels)
        self.maps += other.maps
        self.empty += other.empty
        return self

    def labelled(self, ignore_label: int) -> int:
        """The number of pixels that are not ignored."""
        return self.pixels.total() - self.pixels[ignore_label]


def check_something_labelled(
    amounts: LabelAmounts,
    metadata: Metadata,
    num_classes: int,
    ignore_label: int,
    *,
    for_training: bool,
) -> None:
    """Say of a data set that its label maps are empty, or some of them.

    Args:
        num_classes, ignore_label: of the model.

    Raises:
        DataError: there is nothing to learn from: every pixel is ignored, or all of the foreground
            is, because it is stored as the ignored label.
    """
    if not amounts.maps:
        return
    name, total = metadata.name, amounts.pixels.total()
    binary = num_labels(num_classes) == 2
    label_map = metadata.get("label_map")
    if not amounts.labelled(ignore_label):
        message = (
            f"data set '{name}' has no labelled pixel: all {total:,} pixels of its {amounts.maps} "
            f"label maps are {ignore_label}, the label to ignore"
        )
        remedy = (
            f"its label_map, {dict(label_map)}, may lead everything to it"
            if label_map
            else "if they are not meant to be, LABEL_MAP of DATASETS.REGISTER says which stored "
            "value is which class"
        )
        _raise_or_warn(f"{message}; {remedy}", for_training)
    elif binary and not label_map and {0, ignore_label} == {*+amounts.pixels}:
        classes = metadata.semantic_labels() if metadata.get("stuff_classes") else ["0", "1"]
        _raise_or_warn(
            f"data set '{name}': its {amounts.maps} label maps hold nothing but 0 "
            f"({amounts.pixels[0]:,} pixels) and {ignore_label} ({amounts.pixels[ignore_label]:,} "
            f"pixels), and {ignore_label} is the label to ignore, so there is no pixel of "
            f"'{classes[1]}' to learn from. If they are masks of 0 and {ignore_label}, add "
            f"LABEL_MAP: {{0: 0, {ignore_label}: 1}} to the data set in DATASETS.REGISTER",
            for_training,
        )
    elif amounts.empty:
        logger.warning(
            "data set '%s': %d of %d label maps hold nothing but %d, the label to ignore; the "
            "first is %s",
            *(name, len(amounts.empty), amounts.maps, ignore_label, amounts.empty[0]),
        )


def check_classes_labelled(
    amounts: LabelAmounts, names: Sequence[str], num_classes: int, *, for_training: bool
) -> None:
    """Say which classes have no pixel in the label maps of data sets that are used together.

    Args:
        amounts: of all of them.
        names: of the data sets.
        num_classes: of the model, MODEL.SEM_SEG_HEAD.NUM_CLASSES.

    Raises:
        DataError: a sigmoid, of a single class, is to be trained on pixels of one label.
    """
    labels = range(num_labels(num_classes))
    absent = [label for label in labels if not amounts.pixels[label]]
    if not amounts.maps or not absent or len(absent) == len(labels):
        return
    metadata = MetadataCatalog.get(names[0])
    classes = metadata.semantic_labels() if metadata.get("stuff_classes") else []
    shown = [f"{k} ({classes[k]})" if k < len(classes) else str(k) for k in labels]
    found = [shown[k] for k in absent]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    kind = "class" if len(found) == 1 else "classes"
    use = "never be learnt" if for_training else "have no figure"
    sets = f"data set{'s' if len(names) > 1 else ''} {' and '.join(map(repr, names))}"
    message = (
        f"{sets}: no pixel in {amounts.maps} label maps is of the {kind} "
        f"{', '.join(found[:_SHOWN])}{more}; {'it' if len(found) == 1 else 'they'} will {use}"
    )
    if len(found) == len(labels) - 1:
        (only,) = set(labels) - set(absent)
        message += f". Every labelled pixel is {shown[only]}: there is nothing to tell apart"
    _raise_or_warn(message, for_training and num_classes == 1)


def _raise_or_warn(message: str, is_error: bool) -> None:
    if is_error:
        raise DataError(message)
    logger.warning("%s", message)
