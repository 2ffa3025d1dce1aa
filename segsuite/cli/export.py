"""Write a trained model as an ONNX, OpenVINO or torch.export file, checked against PyTorch.

Images go in as they are decoded and resized; labels, confidences, boxes and masks come out: what is
before and after the network is inside the file. See docs/export.md.
"""

from __future__ import annotations

import argparse

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = r"""after `segsuite demo`:
  segsuite export output/demo --output output/demo.onnx

also:
  segsuite export RUN --format onnx --output F --size 480x640 --batch 1
  segsuite export RUN --format openvino --output FOLDER --precision int8
  segsuite export RUN --output F --precision int8 --calibration photos --no-figures
  segsuite export --config-file FILE --output F MODEL.WEIGHTS model.pth
  segsuite export --list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from segsuite.exporting.options import FORMATS, PRECISIONS

    parser.add_argument("run", nargs="?", metavar="RUN", help="the same as --run-dir RUN")
    add_config_source(parser, required=False)
    parser.add_argument("--output", "-o", metavar="F", help="the file, or OpenVINO's folder")
    parser.add_argument(
        "--format", default="onnx", metavar="NAME", help=f"{', '.join(FORMATS)} (default onnx)"
    )
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="TYPE",
        help=f"of the network: {', '.join(PRECISIONS)} (default float32)",
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="of all images, in pixels (default: any size)"
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="number of images in all calls (default: any)"
    )
    parser.add_argument(
        "--bare", action="store_true", help="the network alone: normalised images to logits"
    )
    parser.add_argument(
        "--logits", action="store_true", help="semantic models return the logits too"
    )
    parser.add_argument(
        "--pasted", action="store_true", help="masks of instances at the size of the image"
    )
    parser.add_argument(
        "--onnxruntime-web",
        metavar="FOLDER",
        help="web: the npm package (default: the nearest node_modules)",
    )
    parser.add_argument(
        "--calibration",
        metavar="NAME",
        help="int8: a data set, or a folder of images, to take the ranges of values from",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=32,
        metavar="N",
        help="int8: how many of its images (default 32)",
    )
    parser.add_argument(
        "--no-figures", action="store_true", help="int8: do not evaluate what it costs"
    )
    parser.add_argument(
        "--list", action="store_true", help="print what each format can for each model, and end"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.errors import ConfigError
    from segsuite.exporting import export

    if args.list:
        from segsuite.exporting.table import family_table, format_table

        print(format_table(), family_table(), sep="\n\n")
        return
    given = [x for x in (args.run, args.run_dir, args.config_file) if x is not None]
    if len(given) != 1:
        raise ConfigError(
            "name one model: RUN, the OUTPUT_DIR of a training, or --config-file FILE"
        )
    if args.output is None:
        raise ConfigError("name the file to write: --output model.onnx")
    args.run_dir = args.run_dir or args.run
    exported = export(
        load_from_arguments(args),
        args.output,
        overwrite=args.overwrite,
        calibration=args.calibration,
        calibration_images=args.calibration_images,
        measure=not args.no_figures,
        format=args.format,
        precision=args.precision,
        onnxruntime_web=args.onnxruntime_web,
        size=args.size,
        batch=args.batch,
        bare=args.bare,
        logits=args.logits,
        pasted=args.pasted,
    )
    print(exported)


def _size(text: str) -> tuple[int, int]:
    height, separator, width = text.partition("x")
    if not (separator and height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected height and width in pixels, such as 480x640"
        )
    return int(height), int(width)
