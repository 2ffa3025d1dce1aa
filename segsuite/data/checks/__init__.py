"""Find what is wrong with data: quickly before training, or thoroughly with segsuite check."""

from .doctor import examine_datasets
from .fix import write_fixed_copy
from .quick import check_datasets, check_instance_dataset, check_semantic_dataset
from .report import KINDS, SEVERITIES, Report

__all__ = [
    "KINDS",
    "SEVERITIES",
    "Report",
    "check_datasets",
    "check_instance_dataset",
    "check_semantic_dataset",
    "examine_datasets",
    "write_fixed_copy",
]
