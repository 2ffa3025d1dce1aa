"""Print what is installed and in use: versions, devices, the compiled operators."""

from __future__ import annotations

import argparse

EXAMPLES = """example:
  segsuite env

Works without PyTorch too, and says what is missing.
"""
WITHOUT_TORCH = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> None:
    from segsuite.utils.env import collect_env

    print(collect_env())
