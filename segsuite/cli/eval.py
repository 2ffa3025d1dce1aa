"""Evaluate a run, an exported file, other weights, or a file of predictions on a data set."""

from __future__ import annotations

import argparse

from segsuite.utils.arguments import add_num_gpus

from .arguments import add_model, add_overrides, load_from_arguments
from .train import add_results

EXAMPLES = r"""after `segsuite demo`:
  segsuite eval --run-dir output/demo
  segsuite eval --run-dir output/demo --dataset shapes_train TEST.REPORT False

also:
  segsuite eval --config-file FILE MODEL.WEIGHTS model.pth
  segsuite eval --config-file FILE --results coco_instances_results.json
  segsuite eval --run-dir output/run --slices weather.csv
  segsuite eval model.onnx --dataset shapes_val
  segsuite eval model.onnx --run-dir output/run

An exported file is evaluated on --dataset, or on the data sets of the run or configuration that is
named beside it. Without MODEL.WEIGHTS the weights are model_final.pth, or else model_best.pth, of
OUTPUT_DIR. The figures are printed and written to OUTPUT_DIR/evaluation.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--dataset", metavar="NAME", help="instead of DATASETS.TEST of the configuration"
    )
    add_results(parser)
    parser.add_argument(
        "--slices",
        metavar="FILE",
        help="a CSV file of images and tags, such as night or rain: figures for each tag, too",
    )
    add_num_gpus(parser)
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.engine import evaluate

    cfg = load_from_arguments(args)
    if args.dataset is not None:
        cfg.DATASETS.TEST = (args.dataset,)
    if args.slices is not None:
        cfg.TEST.SLICES = args.slices
    evaluate(cfg, results_file=args.results)
