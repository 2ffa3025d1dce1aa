"""Evaluation of instances where images are annotated for some of the categories alone."""

from __future__ import annotations

from .coco import COCOEvaluator
from .registry import EVALUATOR_REGISTRY


@EVALUATOR_REGISTRY.register(name="lvis")
class LVISEvaluator(COCOEvaluator):
    """A `COCOEvaluator` by LVIS's rules, also where the ground truth does not say of its images
    which categories they do not have. Figures are those of `lvis_figures`."""

    _own_rules = "lvis"
