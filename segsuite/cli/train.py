"""Train the model that a recipe or a YAML file describes, or go on with a run."""

from __future__ import annotations

import argparse

from segsuite.utils.arguments import add_num_gpus, add_resume

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = r"""after `segsuite demo`:
  segsuite train --config-file demo SOLVER.MAX_ITER 20 OUTPUT_DIR output/short
  segsuite train --run-dir output/short --resume SOLVER.MAX_ITER 30

also:
  on two GPUs            segsuite train --config-file FILE --num-gpus 2
  with other settings    segsuite train --config-file FILE SOLVER.BASE_LR 0.01 OUTPUT_DIR out
  on several machines    torchrun --nnodes 2 --nproc-per-node 8 ... -m segsuite train ...

Ctrl-C, SIGTERM and SIGHUP finish the step, write a checkpoint and end with status 130, 143 or 129;
--resume goes on from the newest checkpoint, and starts anew where there is none.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser)
    add_resume(parser)
    parser.add_argument(
        "--eval-only",
        action="store_true",
        help="evaluate only, as `segsuite eval` does (Detectron2's name for it)",
    )
    add_results(parser)
    add_num_gpus(parser)
    add_overrides(parser)


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="evaluate the predictions in FILE, in COCO's results format, without a model",
    )


def run(args: argparse.Namespace) -> None:
    from segsuite.engine import evaluate, train

    cfg = load_from_arguments(args)
    if args.eval_only or args.results is not None:
        evaluate(cfg, results_file=args.results)
    else:
        train(cfg, resume=args.resume)
