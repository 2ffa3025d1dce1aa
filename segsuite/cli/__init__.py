"""The command ``segsuite`` and its subcommands, one module each; ``tools/*.py`` are the same.

A module has a docstring (the description), ``EXAMPLES``, ``add_arguments(parser)`` and
``run(args)``. PyTorch is imported by `run`, so that ``--help`` and completion answer at once.
"""

from .main import COMMANDS, command_parser, main

__all__ = ["COMMANDS", "command_parser", "main"]
