"""The rules by which detections are compared with a ground truth: COCO's, and LVIS's."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from segsuite.errors import UnknownNameError
from segsuite.utils.registry import unknown_name

from .coco_arrays import COCOObjects
from .coco_engine_choice import build_engine
from .coco_engines import COCOCurves, COCOEngine
from .coco_files import COCOGroundTruth
from .coco_limits import limit_warnings
from .coco_matching import MatchingEngine
from .coco_metrics import COCOFigures, figures_of
from .lvis_metrics import (
    MAX_DETECTIONS,
    build_lvis_engine,
    federation_of,
    frequencies_of,
    lvis_figures_of,
)

RULES = ("auto", "coco", "lvis")


class Rules(Protocol):
    """What differs between the evaluations of instances.

    Attributes:
        settings: what figures depend on, to be kept beside them.
    """

    @property
    def settings(self) -> dict[str, Any]: ...

    def build_engine(self, task: str) -> COCOEngine:
        """What matches detections and objects, without an image yet."""

    def build_matching_engine(self, task: str) -> MatchingEngine:
        """The same, of which the matches of single images can be had."""

    def figures_of(self, curves: COCOCurves) -> COCOFigures:
        """What is reported of precision over recall."""

    def limit_warnings(
        self, objects: COCOObjects, detections_per_image: int | None
    ) -> Iterator[str]:
        """What limits of detections make impossible to find, as texts.

        Args:
            detections_per_image: how many the model gives at most; None: not known.
        """


def choose_rules(name: str, truth: COCOGroundTruth) -> str:
    """The rules that "auto" stands for here: LVIS's where the ground truth says which categories
    its images do not have, which other files can't; other names of `RULES` are returned as they
    are.

    Raises:
        UnknownNameError: there are no such rules.
    """
    if name not in RULES:
        raise UnknownNameError(unknown_name(name, RULES, "rules (TEST.INSTANCES.RULES)"))
    if name != "auto":
        return name
    facts = truth.instances.image_facts
    return "lvis" if any("neg_category_ids" in of_image for of_image in facts) else "coco"


class COCORules:
    """COCO's.

    Args:
        engine: one of `coco_engine_choice.ENGINES`, but "auto".
        max_detections: limits of the detections of an image and category, ascending.
        dilation_ratio: for task "boundary", see `coco_figures`.
    """

    def __init__(
        self,
        truth: COCOGroundTruth,
        engine: str,
        max_detections: Sequence[int],
        dilation_ratio: float,
    ):
        self._truth, self._engine = truth, engine
        self._max_detections, self._dilation_ratio = max_detections, dilation_ratio

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "rules": "coco",
            "engine": self._engine,
            "max_detections": list(self._max_detections),
        }

    def build_engine(self, task: str) -> COCOEngine:
        num_categories = len(self._truth.index.category_ids)
        return build_engine(
            *(self._engine, task, num_categories, self._max_detections),
            dilation_ratio=self._dilation_ratio,
        )

    def build_matching_engine(self, task: str) -> MatchingEngine:
        num_categories = len(self._truth.index.category_ids)
        return MatchingEngine(
            *(task, num_categories, self._max_detections), dilation_ratio=self._dilation_ratio
        )

    def figures_of(self, curves: COCOCurves) -> COCOFigures:
        return figures_of(curves, self._truth.index.category_ids)

    def limit_warnings(
        self, objects: COCOObjects, detections_per_image: int | None
    ) -> Iterator[str]:
        return limit_warnings(
            *(objects, self._truth.index, self._truth.categories),
            *(self._max_detections[-1], detections_per_image),
        )


class LVISRules:
    """LVIS's, see `lvis_figures`.

    Args:
        dilation_ratio: for task "boundary".
    """

    def __init__(self, truth: COCOGroundTruth, dilation_ratio: float):
        self._truth, self._dilation_ratio = truth, dilation_ratio

    @property
    def settings(self) -> dict[str, Any]:
        return {"rules": "lvis", "max_detections": [MAX_DETECTIONS]}

    @functools.cached_property
    def _frequencies(self) -> list[str | None]:
        return frequencies_of(self._truth.instances.category_facts, str(self._truth.path))

    def build_engine(self, task: str) -> COCOEngine:
        return self.build_matching_engine(task)

    def build_matching_engine(self, task: str) -> MatchingEngine:
        instances, index = self._truth.instances, self._truth.index
        federation = federation_of(instances.image_facts, instances.image_ids, index)
        return build_lvis_engine(task, index, federation, self._dilation_ratio)

    def figures_of(self, curves: COCOCurves) -> COCOFigures:
        return lvis_figures_of(curves, self._truth.index.category_ids, self._frequencies)

    def limit_warnings(
        self, objects: COCOObjects, detections_per_image: int | None
    ) -> Iterator[str]:
        index = self._truth.index
        images, counts = np.unique(objects.images, return_counts=True)
        if (counts > MAX_DETECTIONS).any():
            most = int(counts.argmax())
            yield (
                f"{index.source}: image {index.image_ids[int(images[most])]} has {counts[most]} "
                f"objects, and by LVIS's rules the best {MAX_DETECTIONS} detections of an image "
                "count, so not all can be found and AP can't reach 100"
            )
        if detections_per_image is not None and detections_per_image < MAX_DETECTIONS:
            yield (
                f"TEST.DETECTIONS_PER_IMAGE is {detections_per_image}, but by LVIS's rules the "
                f"best {MAX_DETECTIONS} detections of an image count; set it to {MAX_DETECTIONS} "
                "for figures that compare with others'"
            )
