"""The plug-ins of a run: which there were, and which of them are missing where it is opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.metadata import entry_points, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode
from segsuite.config.config import ENTRY_POINT_GROUP
from segsuite.errors import MissingPackageError, UnknownNameError

from .files import RunFiles, read_json


def plugins_of(cfg: CfgNode) -> list[dict[str, Any]]:
    """The plug-ins that a configuration was loaded with: those of installed packages, and the
    modules that ``PLUGINS`` and ``--plugin`` name.

    Returns:
        For each its ``module`` and, where known, the ``distribution`` that it comes from with its
        ``version``, else the ``file``. Installed ones have the ``entry_point`` that names them.
    """
    found: list[dict[str, Any]] = []
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        plugin = {"module": entry_point.value, "entry_point": entry_point.name}
        if entry_point.dist is not None:
            plugin["distribution"] = entry_point.dist.name
            plugin["version"] = entry_point.dist.version
        found.append(plugin)
    distributions = packages_distributions() if cfg.PLUGINS else {}
    for name in cfg.PLUGINS:
        plugin = {"module": name}
        if of_module := distributions.get(name.partition(".")[0]):
            plugin["distribution"], plugin["version"] = of_module[0], version(of_module[0])
        elif file := getattr(sys.modules.get(name), "__file__", None):
            plugin["file"] = os.path.abspath(file)
        found.append(plugin)
    return found


def missing_plugins(run_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Those of `plugins_of` that the run had when it was started last and that are not here."""
    starts = read_json(RunFiles(run_dir).info).get("starts", [])
    here = {entry_point.value for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    missing = []
    for plugin in starts[-1].get("plugins", []) if starts else []:
        module = plugin["module"].partition(":")[0]
        if module in sys.modules:
            continue
        # An installed one counts only where it is installed: nothing else would load it.
        there = plugin["module"] in here if "entry_point" in plugin else _can_be_found(module)
        if not there:
            missing.append(plugin)
    return missing


@contextmanager
def naming_missing_plugins(run_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Within, a key or name that nobody knows is told together with the plug-ins of the run that
    are missing, which would have brought it.

    Raises:
        MissingPackageError: in place of such an error; names the plug-ins and how to get them.
    """
    try:
        yield
    except (UnknownNameError, MissingPackageError) as error:
        missing = missing_plugins(run_dir)
        if not missing:
            raise
        lines = "\n".join(f"  {_described(plugin)}" for plugin in missing)
        raise MissingPackageError(
            f"the run in '{run_dir}' was made with plug-ins that are missing here:\n{lines}\n"
            f"Without them: {error}"
        ) from error


def _can_be_found(module: str) -> bool:
    # Without importing the packages above, as find_spec would: a run's file names them.
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # no name of a module
        return False
    for i in range(len(below)):
        if spec is not None:
            name = ".".join([top, *below[: i + 1]])
            spec = PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return spec is not None


def _described(plugin: dict[str, Any]) -> str:
    """A plug-in, and how to get it."""
    module = plugin["module"]
    if "distribution" in plugin:
        name, number = plugin["distribution"], plugin["version"]
        return f"'{module}' of {name} {number}: pip install {name}=={number}"
    if "file" in plugin:
        folder = Path(plugin["file"]).parents[module.count(".")]
        return f"'{module}', which was in {plugin['file']}: put {folder} on PYTHONPATH"
    return f"'{module}': install its package, or put the folder that holds it on PYTHONPATH"
