"""Open a local page: drop an image on it and see what a trained model finds, and how surely."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = """after `segsuite demo`, with gradio (pip install "segsuite-torch[serve]"):
  segsuite serve --run-dir output/demo

The page is for this machine alone unless --host says otherwise. It has no password, makes no call
to other machines, and keeps nothing of what is dropped on it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser)
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
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.predict import Predictor
    from segsuite.predict.serve import MEGABYTE, serve

    predictor = Predictor.from_config(load_from_arguments(args), args.min_score)
    title = Path(args.run_dir or args.config_file).resolve().name
    max_bytes = round(args.max_upload_mb * MEGABYTE)
    serve(predictor, title=title, host=args.host, port=args.port, max_bytes=max_bytes)
