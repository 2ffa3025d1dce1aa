"""What is found in a COCO file that is not as the format has it, and what becomes of it."""

from __future__ import annotations

import enum
import functools
import logging
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from segsuite.errors import DataError

logger = logging.getLogger(__name__)

_SHOWN = 5


class Outcome(enum.Enum):
    """What becomes of an annotation, in the words of the warning."""

    LEFT_OUT = "left out of its {} annotations"
    MASK_LEFT_OUT = "left out of the masks of its {} annotations, whose boxes count"
    READ = "read as what they must mean, of its {} annotations"
    REFUSED = "of its {} annotations these can't be used"


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        kind: its name in the data doctor's report.
        outcome: what becomes of the annotation.
        text: follows the number of annotations that have it.
    """

    kind: str
    outcome: Outcome
    text: str


UNKNOWN_IMAGE = Fault("unknown-image", Outcome.LEFT_OUT, "of an image that the file does not list")
BBOX_INVALID = Fault("bbox-invalid", Outcome.LEFT_OUT, "without a bbox of four numbers")
BBOX_EMPTY = Fault("bbox-invalid", Outcome.LEFT_OUT, "with a bbox of no or negative size")
BBOX_OUTSIDE = Fault("bbox-outside", Outcome.LEFT_OUT, "with a bbox outside of the image")
POLYGON_INVALID = Fault(
    "polygon-invalid",
    Outcome.MASK_LEFT_OUT,
    "polygons of fewer than 3 points, or not x, y, x, y, ...",
)
POLYGON_NOT_FINITE = Fault(
    "polygon-invalid", Outcome.MASK_LEFT_OUT, "polygons with values that are no finite numbers"
)
POLYGON_OUTSIDE = Fault("polygon-outside", Outcome.MASK_LEFT_OUT, "polygons outside of the image")
RLE_INVALID = Fault(
    "rle-invalid", Outcome.MASK_LEFT_OUT, "with an RLE that is not one of this image"
)
SEGMENTATION_INVALID = Fault(
    "segmentation-invalid",
    Outcome.MASK_LEFT_OUT,
    "with a segmentation that is neither polygons nor an RLE",
)
BBOX_FROM_MASK = Fault("bbox-missing", Outcome.READ, "without a bbox: that of the mask is taken")
BBOX_FAR = Fault(
    "bbox-beyond", Outcome.READ, "with a bbox that reaches far beyond the image: clipped"
)
POLYGON_FAR = Fault(
    "polygon-beyond", Outcome.READ, "polygons that reach far beyond the image: clipped"
)
AREA_INVALID = Fault(
    "area-invalid", Outcome.READ, "with an area that is no number: that of the mask or box is taken"
)
VALUE_TYPE = Fault("value-type", Outcome.READ, "with a value of another type than the format has")
UNKNOWN_CATEGORY = Fault(
    "unknown-category", Outcome.REFUSED, "of a category that the file does not list"
)
FLAG_INVALID = Fault(
    "flag-invalid", Outcome.REFUSED, "with a flag that is neither 0 nor 1, nor true or false"
)


class TakesFaults(Protocol):
    """What is told of the faults of annotations."""

    def add(self, fault: Fault, annotation_id: Any, detail: str = "", /) -> None: ...


class Faults:
    """Counts the faults of a file by kind and remembers the annotations that have them.

    Attributes:
        notes: what else is to be said about the file.
    """

    def __init__(self) -> None:
        self._found: dict[Fault, dict[Any, str]] = {}
        self.notes: list[str] = []

    def add(self, fault: Fault, annotation_id: Any, detail: str = "") -> None:
        """Note a fault of an annotation.

        Args:
            detail: what exactly; that of the first annotation is shown.
        """
        self._found.setdefault(fault, {}).setdefault(annotation_id, detail)

    def of(self, fault: Fault) -> list[Any]:
        """The annotations that have a fault."""
        return list(self._found.get(fault, ()))

    def lines(self, outcome: Outcome, num_annotations: int) -> list[str]:
        """What to say about the faults of one outcome; empty if there are none."""
        found = {f: ids for f, ids in self._found.items() if f.outcome is outcome}
        if not found:
            return []
        lines = [f"{outcome.value.format(num_annotations)}:"]
        for fault, ids in found.items():
            detail = next((d for d in ids.values() if d), "")
            what = f"  {len(ids)} {fault.text} (annotation {some(list(ids))})"
            lines.append(what + (f": {detail}" if detail else ""))
        return lines

    def report(self, json_file: str, num_annotations: int) -> None:
        """Write one warning about the file, once in this process, if there is anything to say, and
        the notes."""
        for note in self.notes:
            warn_once(f"{json_file}: {note}")
        lines = [
            line
            for outcome in (Outcome.LEFT_OUT, Outcome.MASK_LEFT_OUT, Outcome.READ)
            for line in self.lines(outcome, num_annotations)
        ]
        if lines:
            warn_once(f"{json_file}: " + "\n".join(lines))

    def as_json(self) -> list[Any]:
        """All of it as JSON can hold it, for `of_json`."""
        found = [
            [fault.kind, fault.outcome.name, fault.text, list(ids.items())]
            for fault, ids in self._found.items()
        ]
        return [found, self.notes]

    @classmethod
    def of_json(cls, content: list[Any]) -> Faults:
        """What `as_json` has given."""
        faults = cls()
        found, faults.notes = content
        for kind, outcome, text, ids in found:
            faults._found[Fault(kind, Outcome[outcome], text)] = dict(ids)
        return faults

    def refuse(self, json_file: str, num_annotations: int, advice: str) -> None:
        """Raise a DataError about what can't be used, if anything can't."""
        lines = self.lines(Outcome.REFUSED, num_annotations)
        if lines:
            _refuse(f"{json_file}: " + "\n".join([*lines, advice]))


def _refuse(message: str) -> NoReturn:
    raise DataError(message)


def some(ids: list[Any]) -> str:
    """The first few of a list."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(str, ids[:_SHOWN])) + more


@functools.cache
def warn_once(text: str) -> None:
    """Log a warning the first time that it is given in this process."""
    logger.warning(text)
