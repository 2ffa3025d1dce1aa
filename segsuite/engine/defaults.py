"""What comes before any training: command line, output folder, log, seed, checks, config.yaml."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import secrets

import torch

from segsuite.checkpoint import seed_all
from segsuite.config import CfgNode
from segsuite.config.yaml_files import read_yaml_chain
from segsuite.data import check_datasets, compute_class_weights, register_from_config
from segsuite.errors import ConfigError
from segsuite.runs.files import RunFiles
from segsuite.runs.output_dir import (
    claim_output_dir,
    leaving_nothing_if_refused,
    prepare_output_dir,
)
from segsuite.runs.run_info import note_start
from segsuite.structures import num_labels
from segsuite.utils import comm
from segsuite.utils.arguments import add_num_gpus, add_plugin, add_resume
from segsuite.utils.env import collect_env
from segsuite.utils.files import write_text
from segsuite.utils.logger import setup_logger

logger = logging.getLogger(__name__)


# The smallest value of what is counted. (IMS_PER_BATCH depends on the processes besides.)
_LEAST = {
    "SOLVER.MAX_ITER": 1,
    "SOLVER.ACCUMULATE_STEPS": 1,
    "SOLVER.CHECKPOINT_PERIOD": 1,
    "LOG.PERIOD": 1,
    "TEST.EVAL_PERIOD": 0,
    "TEST.EARLY_STOPPING_PATIENCE": 0,
    "DATALOADER.NUM_WORKERS": 0,
    "DATALOADER.PREFETCH_FACTOR": 1,
}


def default_argument_parser() -> argparse.ArgumentParser:
    """The arguments of a training script, of which Detectron2's are called the same."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  train                 %(prog)s --config-file FILE
  on two GPUs           %(prog)s --config-file FILE --num-gpus 2
  with other settings   %(prog)s --config-file FILE SOLVER.BASE_LR 0.01 OUTPUT_DIR out
  go on after a stop    %(prog)s --config-file FILE --resume
  evaluate              %(prog)s --config-file FILE --eval-only MODEL.WEIGHTS model.pth
  on several machines   torchrun --nnodes 2 --nproc-per-node 8 ... %(prog)s --config-file FILE
""",
    )
    parser.add_argument("--config-file", metavar="FILE", required=True, help="YAML configuration")
    add_resume(parser)
    parser.add_argument(
        "--eval-only",
        action="store_true",
        help="evaluate MODEL.WEIGHTS, or else model_final or model_best in OUTPUT_DIR",
    )
    add_num_gpus(parser)
    add_plugin(parser)
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration overrides"
    )
    return parser


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Prepare this process for a run, check what can be checked, and freeze `cfg`.

    Makes and locks OUTPUT_DIR, starts the log, registers the data sets, seeds the generators, and
    fills in what the configuration leaves open: a negative SEED, and CLASS_WEIGHTS where
    CLASS_BALANCE asks for them. A training run then has ``OUTPUT_DIR/config.yaml`` with all of it,
    and ``run_info.json``. One that is refused leaves OUTPUT_DIR as it was.

    Args:
        args: of `default_argument_parser`; `resume` and `eval_only` are used.

    Raises:
        FileAccessError: OUTPUT_DIR can't be used, see output_dir.py.
        ConfigError, DataError, MissingFileError: the configuration or the data are unfit.
    """
    # config.yaml works from any folder.
    cfg.OUTPUT_DIR = os.path.abspath(cfg.OUTPUT_DIR)
    if os.path.exists(cfg.MODEL.WEIGHTS):
        cfg.MODEL.WEIGHTS = os.path.abspath(cfg.MODEL.WEIGHTS)
    with leaving_nothing_if_refused(cfg.OUTPUT_DIR, claims=not args.eval_only):
        _set_up(cfg, args)


def _set_up(cfg: CfgNode, args: argparse.Namespace) -> None:
    if comm.is_main_process():
        prepare_output_dir(cfg.OUTPUT_DIR)
        if not args.eval_only:
            claim_output_dir(cfg.OUTPUT_DIR, resume=args.resume)
    comm.synchronize()
    files = RunFiles(cfg.OUTPUT_DIR)
    setup_logger(files.log(comm.get_rank()), comm.get_rank())
    comm.synchronize()  # all logs are there: whoever refuses the run knows them
    logger.info("environment\n%s", collect_env())
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK

    _check_counts(cfg)
    register_from_config(cfg)
    if args.eval_only:
        check_datasets(_without_training(cfg))
    else:
        _check_batch_size(cfg)
        check_datasets(cfg)
        _set_class_weights(cfg)
    if cfg.SEED < 0:
        cfg.SEED = comm.broadcast_object(_draw_seed(cfg, args.resume))
    cfg.freeze()

    # Every process builds the same weights; the trainer then gives each its own draws.
    seed_all(cfg.SEED)
    logger.info("configuration\n%s", cfg.dump())
    if comm.is_main_process() and not args.eval_only:
        write_text(files.config, cfg.dump())
        note_start(cfg, resume=args.resume)


def _without_training(cfg: CfgNode) -> CfgNode:
    cfg = cfg.clone()
    cfg.DATASETS.TRAIN = ()
    return cfg


def _set_class_weights(cfg: CfgNode) -> None:
    """Fill in the weights that CLASS_BALANCE asks for, unless they are given."""
    head = cfg.MODEL.SEM_SEG_HEAD
    if not head.LOSS.CLASS_BALANCE or head.LOSS.CLASS_WEIGHTS:
        return
    weights = None
    if comm.is_main_process():
        weights = compute_class_weights(
            cfg.DATASETS.TRAIN, num_labels(head.NUM_CLASSES), head.LOSS.CLASS_BALANCE
        )
    head.LOSS.CLASS_WEIGHTS = tuple(comm.broadcast_object(weights))


def _draw_seed(cfg: CfgNode, resume: bool) -> int:
    """A seed for SEED < 0: that of the run that is resumed, or a new one."""
    path = RunFiles(cfg.OUTPUT_DIR).config
    if resume and path.exists():
        for _, earlier in read_yaml_chain(path):
            return earlier["SEED"]
    return secrets.randbelow(2**31)


def _check_counts(cfg: CfgNode) -> None:
    for key, least in _LEAST.items():
        value = functools.reduce(getattr, key.split("."), cfg)
        if value < least:
            raise ConfigError(f"{key} is {value}; it must be at least {least}")


def _check_batch_size(cfg: CfgNode) -> None:
    images, accumulate = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATE_STEPS
    processes = comm.get_world_size()
    parts = processes * accumulate
    if images < parts or images % parts:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH is {images}, with {processes} process(es) and "
            f"SOLVER.ACCUMULATE_STEPS {accumulate}: every process needs the same number of images, "
            f"at least one, for each forward pass, so it must be a multiple of {parts}"
        )
