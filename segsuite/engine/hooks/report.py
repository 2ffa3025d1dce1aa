"""`ReportHook`: the report of the run, after each evaluation."""

from __future__ import annotations

import logging
import os

from segsuite.runs.files import RunFiles
from segsuite.utils import comm
from segsuite.visualization.report import write_report

from ..train_loop import HookBase
from .evaluation import EvalHook

logger = logging.getLogger(__name__)


class ReportHook(HookBase):
    """Writes ``report.html`` into a run's folder. After `PeriodicWriter`, for its figures.

    Args:
        output_dir: of the run.
    """

    def __init__(self, output_dir: str | os.PathLike[str], eval_hook: EvalHook):
        self._files = RunFiles(output_dir)
        self._eval_hook = eval_hook

    def after_step(self) -> None:
        if self._eval_hook.is_due and comm.is_main_process():
            path = write_report([self._files.folder])
            if self.trainer.is_last_step:
                logger.info("report: %s", path)
