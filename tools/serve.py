#!/usr/bin/env python
"""Open a local page: drop an image on it and see what a trained model finds, and how surely."""

from __future__ import annotations

import argparse
from pathlib import Path

from segsuite.engine import launch
from segsuite.predict import Predictor
from segsuite.predict.serve import MEGABYTE, serve

EPILOG = """after `make demo`, with gradio (pip install gradio):
  python tools/serve.py --run-dir output/demo

The page is for this machine alone unless --host says otherwise. It has no password, makes no call
to other machines, and keeps nothing of what is dropped on it.
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run-dir", metavar="RUN", required=True, help="OUTPUT_DIR of a training")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen here; 0.0.0.0 lets other machines in (default 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=int, default=7860, metavar="N", help="listen here (default 7860)"
    )
    parser.add_argument(
        "--max-upload-mb",
        type=float,
        default=20,
        metavar="MB",
        help="refuse larger files (default 20)",
    )
    parser.add_argument(
        "--min-score", type=float, default=0.5, metavar="S", help="show instances from this score"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration overrides"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    predictor = Predictor(args.run_dir, args.opts, args.min_score)
    title = Path(args.run_dir).resolve().name
    max_bytes = round(args.max_upload_mb * MEGABYTE)
    serve(predictor, title=title, host=args.host, port=args.port, max_bytes=max_bytes)


if __name__ == "__main__":
    launch(main, args=(parser().parse_args(),))
