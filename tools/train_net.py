#!/usr/bin/env python
"""Train or evaluate the model that a configuration file describes; --help has examples."""

from __future__ import annotations

import argparse

from segsuite.config import load_config
from segsuite.engine import DefaultTrainer, default_argument_parser, default_setup, launch


def main(args: argparse.Namespace) -> None:
    args.eval_only = args.eval_only or args.results is not None
    cfg = load_config(args.config_file, args.opts, args.plugin)
    default_setup(cfg, args)
    if args.results is not None:
        DefaultTrainer.test_results(cfg, args.results)
        return
    if args.eval_only:
        DefaultTrainer.test_weights(cfg)
        return
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    launch(main, args.num_gpus, (args,))
