"""The examination of label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segsuite.errors import DataError, MissingPackageError

from ..catalog import Metadata
from ..label_files import LabelFileError, has_palette, read_stored_labels
from ..mapper import size_mismatch
from ..sem_seg import count_values
from ..statistics import balance_weights
from .images import without_name
from .report import Report

# What pixels to ignore are commonly stored as.
_USUAL_IGNORE = {254, 255, 65535}
_MANY_VALUES = 40
_HEAVY_IMBALANCE = 100


@dataclass
class LabelFacts:
    """What is known of a label map.

    Attributes:
        size: (height, width); None where it can't be read.
        stored: pixels by the value in the file.
        faults: (kind, detail, severity or "") of each finding.
    """

    file_name: str
    size: tuple[int, int] | None = None
    stored: dict[int, int] = field(default_factory=dict)
    faults: list[tuple[str, str, str]] = field(default_factory=list)

    def labels(self, label_map: Mapping[int, int] | None) -> dict[int, int]:
        """Pixels by class id or ignore label; values that the map lacks are left out."""
        if label_map is None:
            return self.stored
        found: dict[int, int] = {}
        for value, count in self.stored.items():
            if value in label_map:
                found[label_map[value]] = found.get(label_map[value], 0) + count
        return found


def examine_label_map(
    file_name: str, label_map: Mapping[int, int] | None, num_classes: int, ignore_label: int
) -> LabelFacts:
    """Read a label map and look at its values."""
    facts = LabelFacts(file_name)
    try:
        pixels = read_stored_labels(file_name)
        if has_palette(file_name):
            facts.faults.append(("labels-palette", "", ""))
    except (OSError, DataError, MissingPackageError) as e:
        kind = e.kind if isinstance(e, LabelFileError) else "labels-unreadable"
        facts.faults.append((kind, without_name(e, file_name), ""))
        return facts
    facts.size = (pixels.shape[0], pixels.shape[1])
    values, counts = count_values(pixels)
    facts.stored = dict(zip(values.tolist(), counts.tolist(), strict=True))
    allowed = {*range(num_classes), ignore_label} if label_map is None else {*label_map}
    if label_map is None or not facts.stored.keys() <= label_map.keys():
        facts.faults += _value_faults(facts.stored, allowed)
    labels = facts.labels(label_map)
    if labels and labels.keys() <= {ignore_label}:
        facts.faults.append(("labels-empty", "", ""))
    return facts


def _value_faults(stored: Mapping[int, int], allowed: set[int]) -> list[tuple[str, str, str]]:
    outside = {value: count for value, count in stored.items() if value not in allowed}
    if stored.keys() == {0, 255}:
        # A whole data set of them is an error, even where 255 is the ignore label.
        return [("binary-mask", f"{stored[255]} pixels of 255", "" if outside else "warning")]
    if not outside:
        return []
    if outside.keys() <= _USUAL_IGNORE:
        kind = "ignore-value"
    elif len(stored) > _MANY_VALUES and len(outside) > _MANY_VALUES // 2:
        return [("labels-photo", f"{len(stored)} values from {min(stored)} to {max(stored)}", "")]
    else:
        kind = "label-value"
    shown = [f"{value} ({count} pixels)" for value, count in list(outside.items())[:5]]
    more = f" and {len(outside) - 5} more" if len(outside) > 5 else ""
    return [(kind, ", ".join(shown) + more, "")]


def report_label_maps(
    name: str,
    metadata: Metadata,
    sizes: Mapping[str, tuple[int, int] | None],
    pairs: Sequence[tuple[str, LabelFacts]],
    report: Report,
) -> None:
    """Add what is found in the label maps of a data set, one by one and as a whole.

    Args:
        sizes: (height, width) of the images by file, of those that have been read.
        pairs: image file and its label map.
    """
    for image, facts in pairs:
        for kind, detail, severity in facts.faults:
            report.add(name, kind, facts.file_name, detail, severity)
        size = sizes.get(image)
        if size and facts.size and size != facts.size:
            detail = size_mismatch(image, size, facts.file_name, facts.size).partition(";")[0]
            if size == facts.size[::-1]:
                detail += "; turned by a quarter, as EXIF orientation does it"
            report.add(name, "size-mismatch", facts.file_name, detail)
    maps = [facts for _, facts in pairs]
    classes, label_map = metadata.semantic_labels(), metadata.get("label_map")
    labels = [facts.labels(label_map) for facts in maps]
    if any(labels) and {label for found in labels for label in found} == {metadata.ignore_label}:
        report.add(name, "nothing-labelled", name, f"{len(maps)} label maps")
    if label_map is None:
        stored = set().union(*(facts.stored for facts in maps)) - {metadata.ignore_label}
        if 0 not in stored and len(classes) in stored and max(stored) == len(classes):
            report.add(name, "labels-from-one", name, f"values {min(stored)} to {max(stored)}")
        if stored | {255} == {0, 255} and len(classes) > 1 and any(255 in f.stored for f in maps):
            report.add(name, "binary-mask", name, "no label map holds anything else")
    counts = class_counts(labels, len(classes))
    report_classes(name, classes, *counts, len(maps), report)


def class_counts(
    images: Sequence[Mapping[int, int]], num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum up what is in each image.

    Args:
        images: amounts by class id of each image; other keys don't count.

    Returns:
        Three (num_classes,) int64 arrays: the amount of each class, the amount of all classes in
        the images that it is in, and the number of these images.
    """
    amount, where_present, present = np.zeros((3, num_classes), np.int64)
    for image in images:
        inside = [(c, n) for c, n in image.items() if 0 <= c < num_classes and n]
        total = sum(n for _, n in inside)
        for c, n in inside:
            amount[c] += n
            where_present[c] += total
            present[c] += 1
    return amount, where_present, present


def report_classes(
    name: str,
    classes: Sequence[str],
    amount: np.ndarray,
    where_present: np.ndarray,
    present: np.ndarray,
    num_images: int,
    report: Report,
) -> None:
    """Add the statistics of the classes, those never seen and heavy imbalance.

    Args:
        amount, where_present, present: as `class_counts` gives them.
    """
    seen = amount > 0
    weights = balance_weights(amount, where_present, "median_frequency") if seen.any() else amount
    report.statistics[name] = {
        "images": num_images,
        "classes": [
            _class_row(classes[i], amount, present, i, float(weights[i]) if seen[i] else None)
            for i in range(len(classes))
        ],
    }
    for i in np.flatnonzero(~seen).tolist():
        report.add(name, "class-unseen", f"class {i} ({classes[i]})")
    if seen.any():
        rarest = int(np.flatnonzero(seen)[amount[seen].argmin()])
        ratio = amount.max() / amount[rarest]
        if ratio > _HEAVY_IMBALANCE:
            where = f"{classes[int(amount.argmax())]} : {classes[rarest]} = {ratio:.0f} : 1"
            report.add(name, "class-imbalance", where)


def _class_row(
    class_name: str, amount: np.ndarray, present: np.ndarray, i: int, weight: float | None
) -> dict[str, Any]:
    return {
        "name": class_name,
        "amount": int(amount[i]),
        "share": float(amount[i] / max(amount.sum(), 1)),
        "images": int(present[i]),
        "weight": weight,
    }
