"""Open a local page: drop an image on it and see what a trained model finds, and how surely."""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from pathlib import Path

from segsuite.errors import ConfigError

from .arguments import add_model, add_overrides, load_from_arguments

EXAMPLES = """after `segsuite demo`, with gradio (pip install "segsuite-torch[serve]"):
  segsuite serve --run-dir output/demo

also, with a file of `segsuite export`:
  segsuite serve model.onnx

The page is for this machine alone unless --host says otherwise; then give it a --token. It reads
only files that are uploaded to it, makes no call to other machines, and keeps nothing.
"""

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
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
        "--max-megapixels",
        type=float,
        default=40,
        metavar="N",
        help="refuse larger images (default 40 million pixels)",
    )
    parser.add_argument(
        "--token",
        metavar="WORD",
        help="let in only who has this word in the address, ?token=WORD; 'new' makes one and "
        "prints it",
    )
    parser.add_argument(
        "--min-score", type=float, default=0.5, metavar="S", help="show instances from this score"
    )
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.predict import Predictor
    from segsuite.predict.serve import MEGABYTE, serve

    token = _token(args.token, args.host)
    predictor = Predictor.from_config(load_from_arguments(args), args.min_score)
    title = Path(args.model or args.run_dir or args.config_file).resolve().name
    max_bytes = round(args.max_upload_mb * MEGABYTE)
    serve(
        predictor,
        title=title,
        host=args.host,
        port=args.port,
        max_bytes=max_bytes,
        max_pixels=round(args.max_megapixels * 1e6),
        token=token,
        reader=predictor.reader,
    )


def _token(given: str | None, host: str) -> str | None:
    if given is None and host not in _THIS_MACHINE:
        print(
            f"whoever reaches {host} can use the page; --token new asks for a word in its address",
            file=sys.stderr,
        )
    if given is not None and not re.fullmatch(r"[\w-]+", given, re.ASCII):
        raise ConfigError(f"--token {given!r}: expected letters, digits, - and _, or 'new'")
    return secrets.token_urlsafe(24) if given == "new" else given
