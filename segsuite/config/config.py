"""`get_cfg`, and the plug-ins that add to it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from segsuite.errors import ConfigError, MissingPackageError

from .node import CfgNode
from .values import read_value
from .yaml_files import read_yaml_chain

ENTRY_POINT_GROUP = "segsuite.plugins"


def get_cfg() -> CfgNode:
    """A fresh copy of the defaults, with those of every installed plug-in.

    A plug-in is a module that registers components when it is imported; a function
    ``add_config(cfg)`` in it, if there is one, adds its default keys. Installed packages name
    theirs in the entry point group ``segsuite.plugins``.
    """
    from .defaults import _C

    cfg = _C.clone()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            _apply_plugin(cfg, entry_point.load())
        except Exception as e:
            raise RuntimeError(
                f"the installed plug-in '{entry_point.name}' ({entry_point.value}) failed to load: "
                f"{type(e).__name__}: {e}. Fix it, or uninstall the package it comes from"
            ) from e
    return cfg


def load_config(
    filename: str | os.PathLike | None = None,
    overrides: Iterable[Any] = (),
    plugins: Iterable[str] = (),
) -> CfgNode:
    """Defaults, then plug-ins, then a YAML file, then ``KEY VALUE`` overrides.

    The plug-ins are those in `plugins` and those that ``PLUGINS`` names in the file or in what it
    is based on. They come before the file's other keys, so these may be the plug-ins' own.

    Raises:
        MissingFileError, UnknownNameError, ConfigError: see `CfgNode.merge_from_file`.
        MissingPackageError: a plug-in can't be imported. (What one raises itself is left as it is;
            one that is installed and fails is a RuntimeError that names it.)
    """
    cfg = get_cfg()
    overrides = list(overrides)
    named = _names(list(plugins), "the command line")
    if filename is not None:
        for path, loaded in read_yaml_chain(filename):
            named += _names(loaded.get("PLUGINS"), path)
    if "PLUGINS" in overrides[::2]:
        given = cfg.clone()
        given.merge_from_list(["PLUGINS", overrides[2 * overrides[::2].index("PLUGINS") + 1]])
        named += _names(given.PLUGINS, "the command line")
    named = list(dict.fromkeys(named))
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
