"""What an examination of data finds: kinds of findings, their severity, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("error", "warning", "note")

# kind: (severity, what it means and what to do)
KINDS = {
    # files
    "dataset-unreadable": ("error", "The data set can't be listed"),
    "image-missing": ("error", "Image files that are not there"),
    "image-unreadable": ("error", "Not an image that can be read; copy it again or leave it out"),
    "image-truncated": ("error", "Cut short or damaged; copy the file again or leave it out"),
    "image-blank": ("warning", "All pixels of an image have one colour"),
    "image-mode": ("note", "Unusual pixel formats, read as 8-bit RGB"),
    "image-unfit": (
        "error",
        "Images that the model can't take, or whose values have no known range: INPUT.VALUE_RANGE, "
        "INPUT.BANDS and MODEL.PIXEL_MEAN say how they are read",
    ),
    "image-depth": (
        "note",
        "Images of more than 8 bits; INPUT.VALUE_RANGE says which values become 0 and 255",
    ),
    "image-types": ("warning", "Images of several types of values in one data set"),
    "image-range": (
        "warning",
        "The values of the images are not those of the range that is read: they become dark, flat "
        "or clipped. Set INPUT.VALUE_RANGE to what they are, or to percentiles",
    ),
    "image-suffix": ("note", "The ending of the name is not the format of the file"),
    "exif-rotation": (
        "warning",
        "EXIF says that the picture is turned; segsuite turns it upright, other tools may not. "
        "Make sure that the annotations are for the upright picture",
    ),
    "image-without-labels": (
        "error",
        "Images without a label map of the same name; add it, remove the image, or say by "
        "IMAGE_SUFFIX and LABEL_SUFFIX how the names end (LABEL_SUFFIX: _mask.png)",
    ),
    "labels-without-image": ("error", "Label maps without an image; add it or remove the labels"),
    "duplicate-image": ("warning", "The same file more than once in a split"),
    "near-duplicate": ("note", "Pictures of a split that look the same (perceptual hash)"),
    "leakage": ("error", "The same file in two splits: the evaluation is on training data"),
    "near-leakage": (
        "warning",
        "Pictures that look the same (perceptual hash) in two splits: the evaluation may be on "
        "training data",
    ),
    "same-images": (
        "note",
        "Two data sets are the same files with different kinds of annotations: make sure that they "
        "are not for training and for evaluation",
    ),
    # label maps
    "labels-unreadable": ("error", "Label maps that can't be read; copy them again"),
    "labels-rgb": (
        "error",
        "Label maps in colour; segsuite.data.colors_to_labels turns colours into class ids",
    ),
    "labels-lossy": (
        "error",
        "Label maps in a format that changes their values, such as JPEG; write them anew, as PNG",
    ),
    "labels-float": (
        "error",
        "Label maps of real numbers that are not whole, or are none; save class ids",
    ),
    "labels-palette": ("note", "Label maps with a palette: the indices count, not the colours"),
    "labels-photo": ("error", "Label maps with so many values that they look like a grey picture"),
    "label-value": (
        "error",
        "Values that are no class; give the data set a label_map, or fix the files",
    ),
    "labels-from-one": (
        "error",
        "Label 0 never occurs, and one above the last class does: labels seem to count from 1. "
        "Use a label_map {0: 255, 1: 0, 2: 1, ...}",
    ),
    "ignore-value": (
        "error",
        "Pixels to ignore seem to be stored as a value that the data set does not ignore; set "
        "ignore_label, or a label_map",
    ),
    "binary-mask": (
        "error",
        "Masks of 0 and 255, as drawing programs write them: 255 is no class or is ignored. "
        "Use a label_map {0: 0, 255: 1}",
    ),
    "labels-empty": ("warning", "Label maps with nothing but ignored pixels"),
    "nothing-labelled": (
        "error",
        "Every pixel of every label map is ignored, so there is nothing to learn; see label_map",
    ),
    "size-mismatch": ("error", "An image and its annotations differ in size"),
    "class-unseen": ("warning", "Classes that never occur"),
    "class-imbalance": (
        "warning",
        "The commonest class has over 100 times as much as the rarest. For label maps "
        'MODEL.SEM_SEG_HEAD.LOSS.CLASS_BALANCE "median_frequency" takes the weights of the table',
    ),
    # COCO
    "duplicate-id": ("error", "Ids that occur more than once; number them anew"),
    "duplicate-file-name": ("warning", "Several images of the JSON are the same file"),
    "duplicate-category": ("warning", "Several categories have one name"),
    "duplicate-annotation": ("warning", "The same object annotated twice in an image"),
    "unknown-image": ("error", "Annotations of an image that the JSON does not list"),
    "unknown-category": ("error", "Annotations of a category that the data set does not list"),
    "category-gaps": ("note", "Category ids with gaps; classes are numbered without them"),
    "bbox-invalid": ("error", "Boxes that are not four numbers with a size"),
    "bbox-outside": ("error", "Boxes outside of the image"),
    "bbox-beyond": ("warning", "Boxes that reach beyond the image"),
    "bbox-corners": (
        "error",
        "Boxes seem to be [x1, y1, x2, y2]; COCO has [x, y, width, height]. Records of a function "
        "may have them with bbox_mode 0, BoxMode.XYXY_ABS",
    ),
    "bbox-mask": ("warning", "A box and its mask do not fit together"),
    "polygon-invalid": ("error", "Polygons of fewer than 3 points, or not x, y, x, y, ..."),
    "polygon-outside": ("error", "Polygons outside of the image"),
    "polygon-beyond": ("warning", "Polygons that reach beyond the image"),
    "rle-invalid": ("error", "Run lengths that are not those of a mask of the image"),
    "dataset-refused": ("error", "Training would refuse the data set"),
    "id-invalid": ("error", "Ids that are missing, or neither whole numbers nor text"),
    "file-name-missing": ("error", "Images without a file_name"),
    "file-name-odd": (
        "warning",
        "File names with backslashes, %20 or folders of another computer; others may not find them",
    ),
    "size-missing": ("note", "Images whose height and width are taken from the file"),
    "size-invalid": ("error", "height or width is no whole number of pixels"),
    "annotations-missing": (
        "warning",
        "The file has no annotations: results can be written for its images, and nothing learned "
        "or measured",
    ),
    "mask-missing": (
        "warning",
        "Objects without a usable mask: where masks are trained they are background. "
        "INPUT.MASKS_FROM_BOXES True makes their masks from the boxes",
    ),
    "crowds": (
        "warning",
        "Objects with iscrowd 1 (or ignore 1): groups that are neither trained on nor counted. "
        "Single objects need iscrowd 0, also where they are stored as run lengths",
    ),
    "many-objects": (
        "warning",
        "More objects of a class in an image than COCO's figures count detections, so AP can't "
        "reach 100",
    ),
    "classes-differ": (
        "error",
        "Data sets that are trained and evaluated together list other classes",
    ),
    "classes-reordered": (
        "warning",
        "Data sets list the same classes in another order; segsuite matches them by name, other "
        "tools may not",
    ),
    "num-classes": ("error", "NUM_CLASSES of the configuration is not that of the data set"),
    "not-examined": ("note", "What is there, but is not examined"),
    "bbox-missing": ("warning", "Objects without a box: that of the mask is taken"),
    "segmentation-invalid": ("error", "Masks that are neither polygons nor run lengths"),
    "flag-invalid": ("error", "iscrowd or ignore is neither 0 nor 1"),
    "value-type": (
        "warning",
        "Values of another type than COCO has, which other tools may not read: numbers as text, "
        "masks as JSON in a text",
    ),
    "area-invalid": ("warning", "Areas that are no number; that of the mask is taken"),
    "mask-empty": ("warning", "Masks without a pixel"),
    "area-wrong": ("warning", "The area is not that of the mask; AP by size depends on it"),
    # panoptic
    "panoptic-unreadable": ("error", "Panoptic PNG files that are missing or damaged"),
    "panoptic-mode": (
        "error",
        "Panoptic PNG files whose colours are no ids: not 8-bit RGB, or lossily compressed",
    ),
    "segment-void": (
        "error",
        "Segments with the id 0, which says that a pixel has none; number them anew, PNG too",
    ),
    "segment-unlisted": ("error", "Pixels of a segment that the JSON does not list"),
    "segment-empty": ("error", "Segments of the JSON without a pixel; each counts as missed"),
    "segment-area": ("warning", "The area of a segment is not the number of its pixels"),
    # either
    "images-empty": ("note", "Images without annotations"),
    "file-unlisted": ("warning", "Image files in the folder that the JSON does not list"),
}
_SHOWN = 5


@dataclass
class Report:
    """Findings by kind and data set, and what the data sets hold.

    Attributes:
        pixels: by data set: ``types``, ``bands`` (numbers of images by type, and by number of
            bands), ``bits``, ``low`` and ``high`` (values in the files), and ``mean`` and ``std``
            of the channels that a model gets, for MODEL.PIXEL_MEAN and PIXEL_STD.
        statistics: by data set: ``images`` and ``classes``, a list of ``name``, ``amount`` (pixels
            or instances), ``share``, ``images`` and ``weight`` (a suggested loss weight).
    """

    statistics: dict[str, dict[str, Any]] = field(default_factory=dict)
    pixels: dict[str, dict[str, Any]] = field(default_factory=dict)
    _findings: dict[tuple[str, str, str], list[tuple[str, str]]] = field(default_factory=dict)

    def add(
        self, dataset: str, kind: str, where: object, detail: str = "", severity: str = ""
    ) -> None:
        """Note one finding.

        Args:
            kind: a key of `KINDS`.
            where: file, annotation or class.
            severity: instead of the kind's own.
        """
        severity = severity or KINDS[kind][0]
        self._findings.setdefault((severity, kind, dataset), []).append((str(where), detail))

    def found(self, kind: str) -> list[str]:
        """Where a kind was found, in all data sets."""
        return [w for (_, k, _), items in self._findings.items() if k == kind for w, _ in items]

    def count(self, severity: str) -> int:
        """How many findings there are of a severity."""
        return sum(len(items) for (s, _, _), items in self._findings.items() if s == severity)

    def has_errors(self, dataset: str) -> bool:
        """Whether there is an error of a data set."""
        return any(severity == "error" for severity, _, d in self._findings if d == dataset)

    def _sorted(self) -> Iterator[tuple[tuple[str, str, str], list[tuple[str, str]]]]:
        kinds = list(KINDS)
        order = lambda f: (SEVERITIES.index(f[0][0]), kinds.index(f[0][1]), f[0][2])  # noqa: E731
        yield from sorted(self._findings.items(), key=order)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        return {
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [
                {
                    "severity": severity,
                    "kind": kind,
                    "dataset": dataset,
                    "meaning": KINDS[kind][1],
                    "items": [{"where": where, "detail": detail} for where, detail in items],
                }
                for (severity, kind, dataset), items in self._sorted()
            ],
            "pixels": self.pixels,
            "statistics": self.statistics,
        }

    def text(self) -> str:
        """The findings, worst first, with the first few places of each."""
        lines = []
        for (severity, kind, dataset), items in self._sorted():
            lines.append(f"{severity}: {kind} ({len(items)}) in {dataset}. {KINDS[kind][1]}")
            for where, detail in items[:_SHOWN]:
                lines.append(f"    {where}{': ' if detail else ''}{detail}")
            if len(items) > _SHOWN:
                lines.append(f"    ... and {len(items) - _SHOWN} more (--json lists all)")
        counts = ", ".join(f"{self.count(s)} {s}{'s'[: self.count(s) != 1]}" for s in SEVERITIES)
        return "\n".join([*lines, counts])


def statistics_table(statistics: dict[str, Any]) -> str:
    """The classes of a data set as text: share, images that have it, suggested weight."""
    rows = [("class", "share", "images", "weight")]
    for c in statistics["classes"]:
        weight = "-" if c["weight"] is None else f"{c['weight']:.2f}"
        rows.append((c["name"], f"{100 * c['share']:.2f} %", str(c["images"]), weight))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"  {row[0].ljust(widths[0])}"
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
