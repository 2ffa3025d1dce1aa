"""YAML files of configurations and their bases, read within limits, each key once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import yaml
from fvcore.common.config import BASE_KEY

from segsuite.errors import ConfigError, FileAccessError

from .paths import anchor_paths
from .recipes import find_config, recipe_file

# A configuration may come with somebody else's run. Real ones have some hundred keys, in less than
# ten files; a few lines with aliases, or with bases that have bases, can stand for billions.
MAX_BYTES = 4 << 20  # of a file with all that it is based on
MAX_VALUES = 200_000  # of a file, each as often as aliases repeat it
MAX_FILES = 100
MAX_DEPTH = 20  # of files above each other


def read_yaml_chain(filename: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(path, content)`` of a YAML file and the files it is based on, bases first.

    ``_BASE_`` is a path or a list of paths, relative to the file it stands in or starting with
    ``~/`` or ``/``. What is no file is the name of a recipe, see `find_config`.

    Raises:
        MissingFileError, FileAccessError: a file is not there or can't be read.
        ConfigError: a file is not YAML, has a key twice, or is beyond the limits.
    """
    yield from _Chain(os.fspath(filename)).read(os.fspath(filename), ())


def parse_yaml(text: str, source: str) -> Any:
    """The content of a YAML document.

    Args:
        source: where it comes from, for the messages.

    Raises:
        ConfigError: it is not YAML, has a key twice, or stands for too much.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Checks(source).visit(node, ())
        return loader.construct_document(node)
    except ConfigError:
        raise
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply") from None
    except Exception as e:  # PyYAML lets errors of many kinds out, as on `!!int ""`
        raise ConfigError(f"{source} is not valid YAML: {e}") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Checks:
    """What is checked in the nodes of a document, before anything is made of them."""

    def __init__(self, source: str):
        self._source = source
        self._sizes: dict[int, int] = {}  # values that a node stands for; 0 while it is looked at

    def visit(self, node: yaml.Node, path: tuple[str, ...]) -> int:
        """How many values a node stands for, aliases written out."""
        if id(node) in self._sizes:
            if not self._sizes[id(node)]:
                raise ConfigError(f"{self._source}: {'.'.join(path)} holds itself, by an alias")
            return self._sizes[id(node)]
        self._sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node, path)
            for key, value in node.value:
                size += self.visit(key, path) + self.visit(value, (*path, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self.visit(item, path) for item in node.value)
        if size > MAX_VALUES:
            raise ConfigError(
                f"{self._source} has more than {MAX_VALUES:,} values in {'.'.join(path) or 'it'}, "
                "aliases written out; a configuration names files for what is as long as that"
            )
        self._sizes[id(node)] = size
        return size

    def _check_keys(self, node: yaml.MappingNode, path: tuple[str, ...]) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ConfigError(
                    f"{self._source} has {'.'.join((*path, key.value))} twice, in line "
                    f"{lines[key.value]} and in line {line}; YAML would take the last one alone. "
                    "Put them together"
                )
            lines[key.value] = line


class _Chain:
    """Reads a file and its bases, and counts how much that is.

    Args:
        top: the file, for the messages.
    """

    def __init__(self, top: str):
        self._top = top
        self._files = 0
        self._bytes = 0

    def read(self, filename: str, above: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        filename = find_config(filename, f" (named by {BASE_KEY} in {above[-1]})" if above else "")
        if os.path.abspath(filename) in above:
            raise ConfigError(f"{filename}: {BASE_KEY} leads back to the file itself")
        self._files += 1
        if self._files > MAX_FILES or len(above) >= MAX_DEPTH:
            raise ConfigError(
                f"{self._top}: {BASE_KEY} leads to more than {MAX_FILES} files, or to more than "
                f"{MAX_DEPTH} above each other (at {filename})"
            )
        loaded = parse_yaml(self._text(filename), filename)
        loaded = {} if loaded is None else loaded
        if not isinstance(loaded, dict):
            raise ConfigError(
                f"{filename}: expected 'KEY: value' lines, found a {type(loaded).__name__}"
            )
        for base in _bases(loaded.pop(BASE_KEY, None), filename):
            beside = os.path.join(os.path.dirname(filename), os.path.expanduser(base))
            found = beside if os.path.exists(beside) or recipe_file(base) is None else base
            yield from self.read(found, (*above, os.path.abspath(filename)))
        yield filename, anchor_paths(loaded, filename)

    def _text(self, filename: str) -> str:
        try:
            with open(filename, "rb") as f:
                content = f.read(MAX_BYTES - self._bytes + 1)
        except OSError as e:
            raise FileAccessError(
                e.errno, f"can't read the configuration {filename}: {e.strerror}"
            ) from None
        self._bytes += len(content)
        if self._bytes > MAX_BYTES:
            raise ConfigError(
                f"{self._top}: a configuration may have {MAX_BYTES >> 20} MiB with all that it is "
                f"based on; this is more (at {filename})"
            )
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            raise ConfigError(f"{filename} is not valid YAML: {e}") from None


def _bases(value: Any, filename: str) -> list[str]:
    bases = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(
            f"{filename}: {BASE_KEY} is {value!r}; expected a path or a list of paths"
        )
    return bases
