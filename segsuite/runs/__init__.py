"""The folder of a run: the names of its files, its lock, what it notes about itself, reading it."""

from .exported import exported_config
from .files import EvaluationFiles, RunFiles
from .main_metric import main_metric
from .run import Evaluation, Run

__all__ = ["Evaluation", "EvaluationFiles", "Run", "RunFiles", "exported_config", "main_metric"]
