"""`CfgNode`: a nested configuration that checks keys and types and says where a value came from."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fvcore.common.config import CfgNode as _FvcoreCfgNode

from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import closest

from .detectron2_keys import is_unused
from .values import decode, read_bracketed, read_choice, read_list_of, read_section, read_value
from .yaml_files import read_yaml_chain

logger = logging.getLogger(__name__)
COMMAND_LINE = "the command line"


class CfgNode(_FvcoreCfgNode):
    """fvcore's CfgNode with checks that name the file, the key and the nearest known key.

    Values keep the type of the default they replace, see `read_value`, or that which the key was
    declared with, see `optional`, `one_of` and `list_of`. A node made with ``new_allowed=True``
    takes keys it has not seen. Keys are text, also where YAML reads a number (``{11: 255}``). Such
    a mapping of numbers is a value: another one takes its place, and is not merged with it. Keys of
    Detectron2 that mean nothing here are left out.
    """

    if TYPE_CHECKING:  # values are of the types that the configuration gives them

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _Declared):
            # Beside the dict's items, where yacs keeps its own flags; copies take it along.
            self.__dict__.setdefault("_kinds", {})[name] = value
            value = value.default
        super().__setattr__(name, value)

    def merge_from_file(self, cfg_filename: str | os.PathLike) -> None:
        """Merge a YAML file and, before it, the files named by its ``_BASE_``.

        Raises:
            MissingFileError: the file, or one named by ``_BASE_``, is not there.
            UnknownNameError: a key that the configuration does not have.
            ConfigError: not YAML, or a value of the wrong type.
        """
        for filename, loaded in read_yaml_chain(cfg_filename):
            self._merge(loaded, filename)

    def merge_from_other_cfg(self, cfg_other: Mapping) -> None:
        self._merge(cfg_other, "the merged configuration")

    def merge_from_list(self, cfg_list: Sequence[Any]) -> None:
        """Merge ``["MODEL.DEVICE", "cpu", "SOLVER.BASE_LR", "0.1"]``, as given on a command line.

        Raises:
            UnknownNameError, ConfigError: as `merge_from_file`, or a key without a value.
        """
        options = [str(word) for word in cfg_list[::2] if str(word).startswith("-")]
        if options:
            raise ConfigError(
                f"{options[0]} stands among the overrides; options come before them: "
                "--config-file FILE --resume KEY VALUE"
            )
        if len(cfg_list) % 2:
            raise ConfigError(
                f"overrides come in pairs, KEY VALUE; {COMMAND_LINE} has an odd number of words: "
                f"{' '.join(map(str, cfg_list))}"
            )
        for key, value in zip(cfg_list[::2], cfg_list[1::2], strict=True):
            *parents, leaf = str(key).split(".")
            loaded: dict = {leaf: value}
            for parent in reversed(parents):
                loaded = {parent: loaded}
            self._merge(loaded, COMMAND_LINE)

    def _merge(self, loaded: Mapping, source: str, prefix: str = "") -> None:
        for key, value in loaded.items():
            key = str(key)
            name = f"{prefix}{key}"
            if key in self:
                old = self[key]
                if isinstance(old, CfgNode) and not _is_value(old):
                    value = read_section(value)
                    if not isinstance(value, Mapping):
                        keys = ", ".join(old) or "keys of your own"
                        raise ConfigError(
                            f"{source}: {name} is a section, with {keys}; "
                            f"it was given the value {value!r}"
                        )
                    old._merge(value, source, f"{name}.")
                    continue
                value = self._read(key, value, name, source)
            elif self.is_new_allowed():
                value = _tree(value, is_text=source == COMMAND_LINE)
            elif is_unused(name, decode(value), source):
                logger.info("%s: %s has no meaning here and is left out", source, name)
                continue
            else:
                raise UnknownNameError(_unknown_key(self, key, name, prefix, source))
            if self.is_frozen():
                raise AttributeError(f"{source}: {name} can't be set, the configuration is frozen")
            self[key] = value

    def _read(self, key: str, value: Any, name: str, source: str) -> Any:
        """A value for a key that is there."""
        old = self[key]
        if isinstance(old, CfgNode):
            return _tree(read_section(value))
        declared = self.__dict__.get("_kinds", {}).get(key)
        if declared is not None and declared.choices:
            return read_choice(value, declared.choices, name, source)
        if declared is not None and declared.is_list:
            return read_list_of(declared.kind, value, name, source)
        like = declared.kind() if declared and old is None else old
        can_be_null = declared is not None or self.is_new_allowed()
        return read_value(value, like, name, source, default=old, can_be_null=can_be_null)


@dataclass(frozen=True)
class _Declared:
    kind: type
    is_list: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def default(self) -> Any:
        if self.choices:
            return self.choices[0]
        return () if self.is_list else None


def optional(kind: type) -> Any:
    """The default of a key that has none of its own: null, by which the component that reads the
    key takes its constructor's. Other values have to be of the type `kind`.

    >>> cfg.MODEL.MY_HEAD.WIDTH = optional(int)
    """
    return _Declared(kind)


def list_of(kind: type) -> Any:
    """The default of a key that is a list, empty by default: of texts, which stay texts where they
    look like numbers, for the type `str`; of anything for `object`.

    >>> cfg.DATASETS.TRAIN = list_of(str)
    """
    return _Declared(kind, is_list=True)


def one_of(*choices: bool | str) -> Any:
    """The first of the values that a key can have, as its default.

    >>> cfg.MODEL.MY_HEAD.UPSAMPLING = one_of(False, "nearest", "bilinear")
    """
    return _Declared(object, choices=choices)


def _is_value(node: CfgNode) -> bool:
    """Whether a mapping is a value, and no section: its keys are numbers."""
    return bool(node) and all(key.removeprefix("-").isdecimal() for key in node)


def _tree(value: Any, is_text: bool = False) -> Any:
    if is_text:
        value = read_bracketed(value)
    if isinstance(value, Mapping):
        node = CfgNode(new_allowed=True)
        for key, child in value.items():
            node[str(key)] = _tree(child, is_text)
        return node
    return value


def _unknown_key(node: CfgNode, key: Any, name: str, prefix: str, source: str) -> str:
    match = closest(key, node)
    hint = f"did you mean {prefix}{match}?" if match else f"{prefix or 'the top level'} has: "
    if not match:
        hint += ", ".join(map(str, node)) or "no keys"
    return f"{source}: unknown key {name}; {hint}"
