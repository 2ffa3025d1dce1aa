"""Predict images, folders, patterns or videos with a trained model, and draw what it finds."""

from __future__ import annotations

import argparse
import sys

from .arguments import add_model, add_overrides, load_from_arguments

EXAMPLES = r"""after `segsuite demo`:
  segsuite predict --run-dir output/demo --input datasets/shapes_v1/images/val \
      --output output/predictions

also:
  segsuite predict --run-dir RUN --input 'photos/*.jpg' video.mp4 --output OUT
  segsuite predict --config-file FILE --input a.jpg --output OUT MODEL.WEIGHTS model.pth
  segsuite predict model.onnx --input a.jpg --output OUT
  segsuite predict --run-dir RUN --input scene.tif --geojson --output OUT
  cat a.jpg | segsuite predict --run-dir RUN --input - --output OUT

OUT has, for each image, NAME.jpg (the overlay) and labels/NAME.png (class ids in a palette PNG);
coco_instances_results.json for models that find instances; NAME.mp4 for videos, and with
--frame-maps labels/NAME/000000.png and so on, without loss, for their frames; with --geo or
--geojson labels/NAME.tif or instances/NAME.tif, and NAME.geojson, for scenes. The exit status is 1
when a file could not be read; it is named, and the others are predicted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
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
        "--geo",
        action="store_true",
        help="TIFF files are scenes of any size: read, predicted and written as GeoTIFF in windows",
    )
    parser.add_argument(
        "--geojson",
        nargs="?",
        const="rfc7946",
        choices=("rfc7946", "file"),
        help="of scenes, also the outlines, by longitude and latitude or as the file's coordinates",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="enlarge scenes before prediction"
    )
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.predict import Predictor
    from segsuite.predict.predict_files import find_inputs, predict_files

    inputs = find_inputs(args.input)
    predictor = Predictor.from_config(load_from_arguments(args), args.min_score)
    scenes = {"geojson": args.geojson, "scale": args.scale} if args.geo or args.geojson else None
    failures = predict_files(
        predictor,
        inputs,
        args.output,
        live=args.live,
        frame_maps=args.frame_maps,
        scenes=scenes,
    )
    print(
        f"{len(inputs) - len(failures)} of {len(inputs)} files predicted into {args.output}",
        file=sys.stderr,
    )
    if failures:
        print("not predicted:", *failures, sep="\n  ", file=sys.stderr)
        sys.exit(1)
