"""What is found out about detections beside COCO's figures: the errors by kind, and slices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .coco_arrays import COCOPart
from .coco_engines import COCOCurves
from .coco_errors import KINDS, ErrorEngine
from .coco_files import COCOGroundTruth
from .coco_rules import Rules
from .coco_slices import SliceEngine
from .slices import Slices

logger = logging.getLogger(__name__)


class COCOAnalysis:
    """Looks at the images that figures are computed from, as they pass by.

    Args:
        truth: the ground truth.
        rules: by which images are compared.
        tasks: "bbox", "segm", ...
        errors: whether errors are told by kind, of boxes and of masks.
        slices: of the data set, or None.
    """

    def __init__(
        self,
        truth: COCOGroundTruth,
        rules: Rules,
        tasks: Sequence[str],
        *,
        errors: bool,
        slices: Slices | None,
    ):
        self._names = [truth.categories[c] for c in truth.index.category_ids]
        of_errors = [task for task in tasks if task in ("bbox", "segm")] if errors else []
        self._errors = {task: ErrorEngine(task, len(self._names)) for task in of_errors}
        self._slices: dict[str, SliceEngine] = {}
        if slices is not None:
            numbers = truth.index.image_numbers.exact
            images = {
                name: np.unique([numbers[i] for i in ids if i in numbers]).astype(np.int64)
                for name, ids in slices.images.items()
            }
            self._slices = {
                task: SliceEngine(rules.build_matching_engine(task), images) for task in tasks
            }

    def watch(self, parts: Iterable[COCOPart]) -> Iterator[COCOPart]:
        """The same parts, looked at."""
        for part in parts:
            for of_errors in self._errors.values():
                of_errors.add(part)
            for of_slices in self._slices.values():
                of_slices.add(part)
            yield part

    def content(
        self, dataset_name: str, figures_of: Callable[[COCOCurves], dict[str, float]]
    ) -> dict[str, Any]:
        """What was found: ``errors`` by task, see `ErrorKinds.as_json`, and ``slices`` by task, see
        `SliceFigures`, whichever were asked for.

        Args:
            dataset_name: for the log.
            figures_of: gives named figures in percent.
        """
        content: dict[str, Any] = {}
        if self._errors:
            content["errors"] = self._errors_by_task(dataset_name)
        if self._slices:
            content["slices"] = {
                task: engine.figures(figures_of) for task, engine in self._slices.items()
            }
        return content

    def _errors_by_task(self, dataset_name: str) -> dict[str, Any]:
        """They are told in the log, too."""
        found = {}
        for task, engine in self._errors.items():
            kinds = engine.errors()
            found[task] = kinds.as_json(self._names)
            costs = ", ".join(
                f"{kind} {100 * kinds.cost[kind]:.2f} ({kinds.counts[kind]})"
                for kind in KINDS
                if kinds.cost[kind] == kinds.cost[kind]
            )
            if costs:
                logger.info(
                    "%s: %s AP50 %.2f; what each kind of error costs, and how many there are: %s",
                    *(dataset_name, task, 100 * kinds.ap50, costs),
                )
        return found
