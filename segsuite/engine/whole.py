"""A whole training, and a whole evaluation, from a configuration."""

from __future__ import annotations

import argparse
import os
from typing import Any

from segsuite.config import CfgNode
from segsuite.runs.output_dir import leaving_nothing_if_refused
from segsuite.runs.plugins import naming_missing_plugins
from segsuite.utils import comm

from .defaults import default_setup
from .trainer import DefaultTrainer


def train(cfg: CfgNode, *, resume: bool = False) -> DefaultTrainer:
    """Train what a configuration describes, in this process (which may be one of several).

    Args:
        cfg: is completed and frozen, see `default_setup`.
        resume: go on from the last checkpoint in OUTPUT_DIR, if there is one.

    Returns:
        The trainer, with the model; its folder is OUTPUT_DIR.

    Raises:
        UserError: the configuration, the data, the weights or the folder are refused. A folder
            that was made for the run is then gone again.
    """
    with (
        naming_missing_plugins(cfg.OUTPUT_DIR),
        leaving_nothing_if_refused(cfg.OUTPUT_DIR, claims=True),
    ):
        default_setup(cfg, argparse.Namespace(resume=resume, eval_only=False))
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=resume)
        if comm.is_main_process():
            trainer.check_free_space()
    trainer.train()
    return trainer


def evaluate(cfg: CfgNode, *, results_file: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Evaluate MODEL.WEIGHTS, or the weights in OUTPUT_DIR, on DATASETS.TEST.

    Args:
        cfg: is completed and frozen, see `default_setup`.
        results_file: predictions in COCO's results format, to evaluate instead of a model's.

    Returns:
        ``{task: {figure: value}}``, see `DefaultTrainer.test`.

    Raises:
        UserError: as `train`; or there are no weights.
    """
    with (
        naming_missing_plugins(cfg.OUTPUT_DIR),
        leaving_nothing_if_refused(cfg.OUTPUT_DIR, claims=False),
    ):
        default_setup(cfg, argparse.Namespace(resume=False, eval_only=True))
    if results_file is not None:
        return DefaultTrainer.test_results(cfg, results_file)
    return DefaultTrainer.test_weights(cfg)
