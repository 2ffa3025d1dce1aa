"""Arguments that the command segsuite and programs with `default_argument_parser` share."""

from __future__ import annotations

import argparse


def add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR"
    )


def add_num_gpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--num-gpus",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes on this machine, one a GPU (on the CPU where there is none)",
    )
    parser.add_argument(
        "--dist-timeout",
        type=positive_int,
        default=1800,
        metavar="SECONDS",
        help="how long processes wait for one that does not answer before the run fails "
        "(default: 1800)",
    )


def positive_int(text: str) -> int:
    """The type of an argument that counts something: an integer from 1 on."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 on, got '{text}'")
    return value


def add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module that registers components; may be repeated",
    )
