"""Print the script with which a shell completes commands, options and file names."""

from __future__ import annotations

import argparse

from segsuite.errors import MissingPackageError

EXAMPLES = """examples, with shtab (pip install "segsuite-torch[completion]"):
  segsuite completion bash > ~/.local/share/bash-completion/completions/segsuite
  segsuite completion zsh > ~/.zfunc/_segsuite
"""
WITHOUT_TORCH = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def run(args: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError:
        raise MissingPackageError(
            'completion scripts need shtab: pip install "segsuite-torch[completion]"'
        ) from None
    from .main import full_parser

    print(shtab.complete(full_parser(), shell=args.shell))
