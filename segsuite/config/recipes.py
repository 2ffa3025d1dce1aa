"""Recipes: the configurations that come with segsuite, found by name from any folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import segsuite
from segsuite.errors import FileAccessError, MissingFileError, UnknownNameError
from segsuite.utils.registry import closest

_SUFFIX = ".yaml"
_BASE_LINE = re.compile(r"^_BASE_:(.*)$", re.M)
BASE_NAME = re.compile(r"[^\s\[\]\"',]+\.yaml")


def recipes_dir() -> Path:
    """The folder of the recipes: inside the installed package, or ``configs`` of a checkout."""
    package = Path(segsuite.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def recipe_names() -> list[str]:
    """The names of all recipes, such as ``camvid/unet_resnet18_20min``.

    What only others are based on (``_base_/``, ``Base-*``) is left out; it can be named as well.
    """
    return [name for name in _all_names() if not name.rpartition("/")[2].startswith("Base-")]


def _all_names() -> Iterator[str]:
    folder = recipes_dir()
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        name = path.relative_to(folder).as_posix().removesuffix(_SUFFIX)
        if not name.startswith("_base_/"):
            yield name


def recipe_file(name: str) -> Path | None:
    """The file of a recipe, None where there is no such one.

    Args:
        name: with or without ``.yaml``, and ``configs/`` before it, as in a checkout.
    """
    stem = name.replace(os.sep, "/").removeprefix("./").removeprefix("configs/")
    stem = stem.removesuffix(_SUFFIX)
    if stem.startswith("/") or ".." in stem.split("/"):
        return None
    path = recipes_dir() / f"{stem}{_SUFFIX}"
    return path if path.is_file() else None


def find_config(filename: str | os.PathLike, named_in: str = "") -> str:
    """The file that `filename` means: a path, or else the name of a recipe.

    Args:
        named_in: where it is named, for the message.

    Raises:
        MissingFileError: it is neither.
    """
    filename = os.fspath(filename)
    if os.path.exists(filename):
        return filename
    recipe = recipe_file(filename)
    if recipe is not None:
        return str(recipe)
    match = closest(filename.removeprefix("configs/").removesuffix(_SUFFIX), _all_names())
    hint = f"Did you mean the recipe {match}? " if match else ""
    raise MissingFileError(
        f"no configuration file {filename}{named_in}, and no recipe of that name. {hint}"
        "`segsuite recipes` lists the recipes"
    )


def copy_recipe(name: str, path: str | os.PathLike) -> None:
    """Write a recipe to a file of one's own, to be changed; its ``_BASE_`` are recipes' names.

    Raises:
        UnknownNameError: there is no such recipe.
        FileAccessError: the file exists, or can't be written.
    """
    source = recipe_path(name)

    def to_names(line: re.Match[str]) -> str:
        def to_name(base: re.Match[str]) -> str:
            file = (source.parent / base.group()).resolve()
            return file.relative_to(recipes_dir().resolve()).as_posix().removesuffix(_SUFFIX)

        return f"_BASE_:{BASE_NAME.sub(to_name, line.group(1))}"

    text = _BASE_LINE.sub(to_names, source.read_text(), count=1)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x") as f:
            f.write(text)
    except FileExistsError:
        raise FileAccessError(f"{path} exists; name another file, or remove it") from None
    except OSError as e:
        raise FileAccessError(f"{path} can't be written: {e.strerror}") from e


def recipe_path(name: str) -> Path:
    """The file of a recipe.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    path = recipe_file(name)
    if path is None:
        match = closest(name, _all_names())
        hint = f" Did you mean {match}?" if match else ""
        raise UnknownNameError(f"no recipe '{name}'.{hint} `segsuite recipes` lists them")
    return path
