"""Reports of runs: one HTML file that opens from disk."""

from .build import write_report
from .run import Evaluation, Run, load_run

__all__ = ["Evaluation", "Run", "load_run", "write_report"]
