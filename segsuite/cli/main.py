"""From the words of a command line to the subcommand that they name."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from datetime import timedelta
from types import ModuleType

import segsuite
from segsuite.errors import describe_error
from segsuite.utils.interrupt import ending_on_ctrl_c
from segsuite.utils.registry import closest

from .arguments import HelpFormatter, parse

# Subcommands in the order of their use, each a module of this package.
COMMANDS = {
    "demo": "train a small network on generated images and draw what it predicts",
    "recipes": "list the recipes, or copy one to a file of your own",
    "models": "list the models by name, or tell about one: options, backbones, parameters",
    "train": "train the model of a recipe or YAML file, or resume a run",
    "eval": "evaluate a run, weights or a file of predictions on a data set",
    "predict": "predict images, folders and videos",
    "serve": "a local page: drop an image, see what the model finds",
    "export": "write a model as ONNX, OpenVINO or torch.export, checked against PyTorch",
    "report": "one HTML file about a run, or several side by side",
    "compare": "is one run better than another, or was it luck with the images",
    "plot": "curves of a run as a picture",
    "check": "find what is wrong with data sets, and write a fixed copy",
    "look": "draw annotations, or what the model is fed after augmentation",
    "prepare": "download and lay out a published data set",
    "convert-data": "write data sets, or exports of other programs, as COCO or YOLO",
    "convert": "convert a checkpoint of another library",
    "analyze": "parameters, FLOPs, memory and time of a model, by module",
    "benchmark": "where the time goes: loader, training step, evaluation",
    "env": "what is installed and in use",
    "completion": "print the completion script of a shell",
}
EPILOG = """start here:
  segsuite demo
  segsuite recipes

`segsuite COMMAND --help` has the options of a command, and examples.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what ``segsuite ARGUMENTS`` asks for; by default the words of this process.

    Raises:
        SystemExit: at the end of whatever did not succeed; 2 for what the user can fix.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with ending_on_ctrl_c():
            if not words or words[0].startswith("-") or words[0] not in COMMANDS:
                _top_parser().parse_args(words or ["--help"])
            else:
                module = _module(words[0])
                _run(module, parse(command_parser(words[0]), words[1:]))
    except ModuleNotFoundError as error:  # of segsuite's own imports: `launch` tells all others
        package = (error.name or "").partition(".")[0]
        text = f"error: the package '{package}' is missing: `segsuite env` lists what there is"
        print(text, file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # of `segsuite recipes | head`
        sys.stderr.close()
        sys.exit(1)


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of ``segsuite NAME``."""
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"segsuite {name}",
        description=module.__doc__,
        epilog=module.EXAMPLES,
        formatter_class=HelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def full_parser() -> argparse.ArgumentParser:
    """All commands in one parser, for what reads parsers, such as completion."""
    parser = argparse.ArgumentParser(prog="segsuite")
    subparsers = parser.add_subparsers(dest="command")
    for name, summary in COMMANDS.items():
        module = _module(name)
        module.add_arguments(subparsers.add_parser(name, help=summary))
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"segsuite.cli.{name.replace('-', '_')}")


def _run(module: ModuleType, args: argparse.Namespace) -> None:
    if getattr(module, "WITHOUT_TORCH", False):
        _run_alone(module, args)
        return
    from segsuite.engine import launch

    if hasattr(args, "num_gpus"):
        launch(module.run, args.num_gpus, (args,), timeout=timedelta(seconds=args.dist_timeout))
    else:
        launch(module.run, args=(args,))


def _run_alone(module: ModuleType, args: argparse.Namespace) -> None:
    try:
        module.run(args)
    except BrokenPipeError:
        raise
    except Exception as error:
        text, status = describe_error(error)
        print(text, file=sys.stderr)
        sys.exit(status)


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="segsuite",
        usage="segsuite COMMAND ...",
        description="Semantic, instance and panoptic segmentation for PyTorch.\n\ncommands:\n"
        + "\n".join(lines),
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    version = f"segsuite {segsuite.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("command", type=_command, help=argparse.SUPPRESS)
    return parser


def _command(name: str) -> str:
    match = closest(name, COMMANDS)
    hint = f"did you mean '{match}'? " if match else ""
    raise argparse.ArgumentTypeError(f"no command '{name}'; {hint}`segsuite --help` lists them")
