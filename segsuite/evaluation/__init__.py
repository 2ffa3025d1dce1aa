"""Evaluators, the loop that runs them, and metrics as pure functions."""

from typing import TYPE_CHECKING

from segsuite.utils.lazy import lazy_names

if TYPE_CHECKING:
    from .base import DatasetEvaluator, DatasetEvaluators
    from .bootstrap import Comparison, compare_mean_iou, iou_intervals
    from .boundary import boundary_confusion_matrix, boundary_iou
    from .build import EVALUATOR_REGISTRY, build_evaluator
    from .calibration import calibration_counts, calibration_figures
    from .coco import COCOEvaluator
    from .coco_metrics import COCOFigures, coco_figures
    from .evaluator import evaluating, inference_on_dataset
    from .image_counts import image_ious, load_image_counts
    from .lvis import LVISEvaluator
    from .lvis_metrics import lvis_figures
    from .metrics import ABSENT_CLASS_RULES, SemSegMetrics, sem_seg_metrics
    from .panoptic import PanopticEvaluator
    from .panoptic_metrics import (
        PanopticQuality,
        PanopticSegment,
        panoptic_counts,
        panoptic_quality,
    )
    from .sem_seg import SemSegEvaluator
    from .table import results_table

__all__ = [
    "ABSENT_CLASS_RULES",
    "EVALUATOR_REGISTRY",
    "COCOEvaluator",
    "COCOFigures",
    "Comparison",
    "DatasetEvaluator",
    "DatasetEvaluators",
    "LVISEvaluator",
    "PanopticEvaluator",
    "PanopticQuality",
    "PanopticSegment",
    "SemSegEvaluator",
    "SemSegMetrics",
    "boundary_confusion_matrix",
    "boundary_iou",
    "build_evaluator",
    "calibration_counts",
    "calibration_figures",
    "coco_figures",
    "compare_mean_iou",
    "evaluating",
    "image_ious",
    "inference_on_dataset",
    "iou_intervals",
    "load_image_counts",
    "lvis_figures",
    "panoptic_counts",
    "panoptic_quality",
    "results_table",
    "sem_seg_metrics",
]

__getattr__, __dir__ = lazy_names(__name__)
