#!/usr/bin/env python
"""Predict images, folders, patterns or videos with a trained model, and draw what it finds."""

from __future__ import annotations

import argparse
import sys

from segsuite.config import load_config
from segsuite.engine import launch
from segsuite.predict import Predictor
from segsuite.predict.predict_files import find_inputs, predict_files
from segsuite.runs import Run

EPILOG = r"""after `make demo`:
  python tools/predict.py --run-dir output/demo --input datasets/shapes_v1/images/val \
      --output output/predictions

also:
  python tools/predict.py --run-dir RUN --input 'photos/*.jpg' video.mp4 --output OUT
  python tools/predict.py --config-file FILE --input a.jpg --output OUT \
      --opts MODEL.WEIGHTS model.pth
  cat a.jpg | python tools/predict.py --run-dir RUN --input - --output OUT

OUT has, for each image, NAME.jpg (the overlay) and labels/NAME.png (class ids in a palette PNG);
coco_instances_results.json for models that find instances; NAME.mp4 for videos, and with
--frame-maps labels/NAME/000000.png and so on, without loss, for their frames. The exit code is 1
when a file could not be read; it is named, and the others are predicted.
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--run-dir", metavar="RUN", help="OUTPUT_DIR of a training")
    model.add_argument("--config-file", metavar="FILE", help="YAML; weights from MODEL.WEIGHTS")
    parser.add_argument(
        *("--input", "-i"),
        nargs="+",
        required=True,
        metavar="INPUT",
        help="images, videos, folders, patterns; - reads an image from standard input",
    )
    parser.add_argument("--output", "-o", required=True, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--min-score", type=float, default=0.5, metavar="S", help="draw instances from this score"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="print a JSON line for each image as it is done, keep the newest in OUT/latest.jpg",
    )
    parser.add_argument(
        "--frame-maps",
        action="store_true",
        help="of videos, also write the label map (or panoptic map) of each frame as a PNG",
    )
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration overrides"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    inputs = find_inputs(args.input)
    if args.run_dir:
        cfg = Run(args.run_dir).load_config(args.opts)
    else:
        cfg = load_config(args.config_file, args.opts)
    predictor = Predictor.from_config(cfg, args.min_score)
    failures = predict_files(
        predictor, inputs, args.output, live=args.live, frame_maps=args.frame_maps
    )
    print(
        f"{len(inputs) - len(failures)} of {len(inputs)} files predicted into {args.output}",
        file=sys.stderr,
    )
    if failures:
        print("not predicted:", *failures, sep="\n  ", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    launch(main, args=(parser().parse_args(),))
