"""Whether a command could be run: its program, options, files and configuration keys exist."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from segsuite.cli import COMMANDS, command_parser
from segsuite.cli.arguments import parse
from segsuite.config import CfgNode, get_cfg, load_config
from segsuite.data import DatasetCatalog
from tests.helpers import REPO

from .pages import parse_toml
from .process import output_of
from .shell import Command

# What runs leave; a command may name it without its being there.
_OUTPUT = "output"
# Without build isolation these are installed before segsuite.
_BUILD_PACKAGES = {"ninja", "setuptools", "wheel"}


class _Parsed(Exception):
    """Carries the arguments out of a script."""


def check_command(command: Command, folder: Path) -> None:
    """Check a command that would be run in `folder`, which is the current one.

    Raises:
        AssertionError, Exception: it could not be run.
    """
    _CHECKS[command.program](list(command.arguments))


def check_config(cfg: CfgNode) -> None:
    """A configuration names data sets that exist."""
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert name in DatasetCatalog or name in cfg.DATASETS.REGISTER, f"no data set '{name}'"


def parse_arguments(script: str, arguments: Sequence[str]) -> argparse.Namespace:
    """What the parser of a script makes of arguments; nothing after the parsing is run.

    Raises:
        AssertionError: it refuses them, or the script parses none.
    """
    parse_args = argparse.ArgumentParser.parse_args

    def parse(parser: argparse.ArgumentParser, *_: Any) -> None:
        def refuse(message: str) -> None:
            raise AssertionError(f"{script} {' '.join(arguments)}: {message}")

        parser.error = refuse
        with pytest.MonkeyPatch.context() as original:
            original.setattr(argparse.ArgumentParser, "parse_args", parse_args)
            raise _Parsed(parser.parse_args(list(arguments)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.syspath_prepend(str(Path(script).parent))  # as where it is run
        try:
            runpy.run_path(script, run_name="__main__")
        except _Parsed as parsed:
            return parsed.args[0]
    raise AssertionError(f"{script} has no argument parser")


def _check_script(script: str, arguments: list[str]) -> None:
    assert Path(script).is_file(), f"there is no {script}"
    if script.startswith("tools/"):
        description = ast.get_docstring(ast.parse(Path(script).read_text()))
        _check_segsuite([description.split("`")[1].split()[1], *arguments])
    elif script.startswith("benchmarks/"):
        _check_arguments(vars(parse_arguments(script, arguments)))


def _check_segsuite(arguments: list[str]) -> None:
    name, *words = arguments
    assert name in COMMANDS, f"no command segsuite {name}"
    parser = command_parser(name)

    def refuse(message: str) -> None:
        raise AssertionError(f"segsuite {' '.join(arguments)}: {message}")

    parser.error = refuse
    _check_arguments(vars(parse(parser, words)))


def _check_arguments(parsed: dict[str, Any]) -> None:
    config_file, overrides = parsed.get("config_file"), parsed.get("opts") or []
    if config_file and not config_file.startswith(_OUTPUT):
        check_config(load_config(config_file, overrides, parsed.get("plugin") or []))
    elif overrides:
        get_cfg().merge_from_list(overrides)
    for config in parsed.get("config_files") or []:
        check_config(load_config(config))
    if not config_file:
        for name in parsed.get("datasets") or []:
            assert name in DatasetCatalog, f"no data set '{name}'"


def _check_python(arguments: list[str]) -> None:
    first, *rest = arguments
    if first == "setup.py":
        # In another process, as setuptools patches what is imported already.
        attributes = {"script_name": first, "script_args": rest}
        parse = f"assert setuptools.Distribution({attributes}).parse_command_line()"
        output_of(["-c", f"import setuptools; {parse}"], Path.cwd())
    elif first == "-m" and rest[0] == "segsuite":
        _check_segsuite(rest[1:])
    elif first == "-m":
        module, *rest = rest
        assert importlib.util.find_spec(module), f"no module {module}"
        if module == "pytest":
            paths = [a for a in rest if "/" in a]
            assert all(Path(p).exists() for p in paths), paths
    else:
        _check_script(first, rest)


def _check_make(arguments: list[str]) -> None:
    makefile = (REPO / "Makefile").read_text()
    targets = re.findall(r"^([\w-]+):(?!=)", makefile, re.M)
    variables = re.findall(r"^(\w+) \?=", makefile, re.M)
    for argument in arguments:
        name, sign, _ = argument.partition("=")
        assert name in (variables if sign else targets), f"make {argument}"


def _check_pip(arguments: list[str]) -> None:
    from pip._internal.commands import create_command

    command, *rest = arguments
    options, requirements = create_command(command).parse_args(rest)
    project = parse_toml((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(r for group in extras.values() for r in group)]
    known = {re.match(r"[\w-]+", requirement).group() for requirement in listed}
    known |= {"segsuite-torch", *_BUILD_PACKAGES}
    for requirement in [*requirements, *options.editables]:
        name, _, wanted = re.split(r"[><=]", requirement)[0].partition("[")
        is_package = name == "." or Path(name, "pyproject.toml").exists()
        assert is_package or name in known, f"no package {requirement}"
        for extra in filter(None, wanted.rstrip("]").split(",")):
            assert extra in extras, f"no extra '{extra}'"


def _check_torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    parsed = get_args_parser().parse_args(arguments)
    _check_python([parsed.training_script, *parsed.training_script_args])


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "cat": lambda arguments: None,
    "gcc": lambda arguments: None,
    "npm": lambda arguments: None,
    "make": _check_make,
    "pip": _check_pip,
    "python": _check_python,
    "segsuite": _check_segsuite,
    "torchrun": _check_torchrun,
}
