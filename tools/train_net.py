#!/usr/bin/env python
"""Train or evaluate the model that a configuration file describes."""

from __future__ import annotations

import argparse
from pathlib import Path

from segsuite.config import load_config
from segsuite.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from segsuite.runs.output_dir import leaving_nothing_if_refused
from segsuite.runs.plugins import naming_missing_plugins

EPILOG = r"""after `make demo`:
  python tools/train_net.py --config-file output/demo/config.yaml --eval-only
  python tools/train_net.py --config-file configs/demo.yaml SOLVER.MAX_ITER 20 \
      OUTPUT_DIR output/short
  python tools/train_net.py --config-file output/short/config.yaml --resume SOLVER.MAX_ITER 30

"""


def main(args: argparse.Namespace) -> None:
    # The file may be the config.yaml of a run.
    with naming_missing_plugins(Path(args.config_file).parent):
        run(args)


def run(args: argparse.Namespace) -> None:
    args.eval_only = args.eval_only or args.results is not None
    cfg = load_config(args.config_file, args.opts, args.plugin)
    with leaving_nothing_if_refused(cfg.OUTPUT_DIR, claims=not args.eval_only):
        default_setup(cfg, args)
        if not args.eval_only:
            trainer = DefaultTrainer(cfg)
            trainer.resume_or_load(resume=args.resume)
    if args.results is not None:
        DefaultTrainer.test_results(cfg, args.results)
    elif args.eval_only:
        DefaultTrainer.test_weights(cfg)
    else:
        trainer.train()


if __name__ == "__main__":
    parser = default_argument_parser()
    parser.description = __doc__
    parser.epilog = EPILOG + (parser.epilog or "")
    args = parser.parse_args()
    launch(main, args.num_gpus, (args,))
