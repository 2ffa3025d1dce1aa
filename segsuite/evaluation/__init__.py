"""Evaluators, the loop that runs them, and metrics as pure functions."""

from .boundary import boundary_confusion_matrix, boundary_iou
from .build import EVALUATOR_REGISTRY, build_evaluator
from .evaluator import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from .metrics import ABSENT_CLASS_RULES, SemSegMetrics, sem_seg_metrics
from .sem_seg import SemSegEvaluator
from .table import results_table

__all__ = [
    "ABSENT_CLASS_RULES",
    "EVALUATOR_REGISTRY",
    "DatasetEvaluator",
    "DatasetEvaluators",
    "SemSegEvaluator",
    "SemSegMetrics",
    "boundary_confusion_matrix",
    "boundary_iou",
    "build_evaluator",
    "inference_on_dataset",
    "results_table",
    "sem_seg_metrics",
]
