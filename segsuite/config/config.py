"""`get_cfg`, and the plug-ins that add to it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from segsuite.errors import ConfigError, MissingPackageError, PluginError

from .node import CfgNode
from .values import read_value
from .yaml_files import read_yaml_chain

ENTRY_POINT_GROUP = "segsuite.plugins"


def get_cfg() -> CfgNode:
    """A fresh copy of the defaults, with those of every installed plug-in.

    A plug-in is a module that registers components when it is imported; a function
    ``add_config(cfg)`` in it, if there is one, adds its default keys. Installed packages name
    theirs in the entry point group ``segsuite.plugins``.

    Raises:
        PluginError: one of these can't be loaded.
    """
    from .defaults import _C

    cfg = _C.clone()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            _apply_plugin(cfg, entry_point.load())
        except Exception as e:
            raise PluginError(
                f"the installed plug-in '{entry_point.name}' ({entry_point.value}) failed to load: "
                f"{type(e).__name__}: {e}. Fix it, or uninstall the package it comes from"
            ) from e
    return cfg


def load_config(
    filename: str | os.PathLike | None = None,
    overrides: Iterable[Any] = (),
    plugins: Iterable[str] = (),
    *,
    allow_plugins: bool = True,
) -> CfgNode:
    """Defaults, then plug-ins, then a YAML file, then ``KEY VALUE`` overrides.

    The plug-ins are those in `plugins` and those that ``PLUGINS`` names in the file or in what it
    is based on. They come before the file's other keys, so these may be the plug-ins' own.

    Args:
        allow_plugins: False refuses to import what the file names in ``PLUGINS``, unless `plugins`
            or `overrides` name it too, its package is installed as a plug-in, or it has been
            imported already: for a file that somebody else has written.

    Raises:
        MissingFileError, UnknownNameError, ConfigError: see `CfgNode.merge_from_file`.
        MissingPackageError: a plug-in can't be imported, or is not allowed. (What one raises
            itself is left as it is; one that is installed and fails is a RuntimeError that names
            it.)
    """
    cfg = get_cfg()
    overrides = list(overrides)
    asked_for = _names(list(plugins), "the command line")
    of_files: list[str] = []
    if filename is not None:
        for path, loaded in read_yaml_chain(filename):
            of_files += _names(loaded.get("PLUGINS"), path)
    if "PLUGINS" in overrides[::2]:
        given = cfg.clone()
        given.merge_from_list(["PLUGINS", overrides[2 * overrides[::2].index("PLUGINS") + 1]])
        asked_for += _names(given.PLUGINS, "the command line")
    if not allow_plugins:
        _refuse_plugins([name for name in of_files if name not in asked_for], filename)
    named = list(dict.fromkeys([*asked_for, *of_files]))
    for name in named:
        _apply_plugin(cfg, _import_plugin(name))
    if filename is not None:
        cfg.merge_from_file(filename)
    cfg.merge_from_list(overrides)
    cfg.PLUGINS = tuple(named)
    return cfg


def _names(value: Any, source: str) -> list[str]:
    """The modules that a value of PLUGINS names."""
    names = [] if value is None else list(read_value(value, (), "PLUGINS", source, default=()))
    for name in names:
        if not (isinstance(name, str) and all(map(str.isidentifier, name.split(".")))):
            raise ConfigError(
                f"{source} names the plug-in {name!r}; PLUGINS takes names of modules, such as "
                "[my_package.my_module]"
            )
    return names


def _refuse_plugins(names: Iterable[str], filename: str | os.PathLike | None) -> None:
    """Refuse modules of which no code has run here yet, and that nobody has installed as plug-ins.

    Raises:
        MissingPackageError: there are such ones.
    """
    installed = {entry_point.module for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    refused = [n for n in dict.fromkeys(names) if n not in sys.modules and n not in installed]
    if refused:
        flags = " ".join(f"--plugin {name}" for name in refused)
        raise MissingPackageError(
            f"{filename} names plug-ins, modules whose code would run here: {', '.join(refused)}. "
            "They are not imported unless you ask for it. If you trust whoever made this run, and "
            f"these modules, add {flags} (in Python: allow_plugins=True)"
        )


def _import_plugin(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        raise MissingPackageError(
            f"plug-in '{name}' can't be imported: {e}. "
            "Install its package, or put the folder that holds it on PYTHONPATH"
        ) from e


def _apply_plugin(cfg: CfgNode, plugin: Any) -> None:
    add_config = getattr(plugin, "add_config", None)
    if add_config is not None:
        add_config(cfg)
