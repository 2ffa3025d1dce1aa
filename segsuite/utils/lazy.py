"""Packages whose names are imported when they are used.

PyTorch takes a second and half a gigabyte. What does without it, such as reading annotations and
evaluating files of results, should not have to wait for it because of its neighbours in a package.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that imports names on their first use.

    The names are those that its ``if TYPE_CHECKING:`` block imports from modules of the package,
    so type checkers and running code go by one list::

        if TYPE_CHECKING:
            from .build import build_train_loader

        __getattr__, __dir__ = lazy_names(__name__)

    Args:
        package: the name of the package, which is being imported.
    """
    module = sys.modules[package]
    modules = _modules_of_names(Path(str(module.__file__)))

    def get(name: str) -> Any:
        if name in modules:
            value = getattr(import_module(f".{modules[name]}", package), name)
            setattr(module, name, value)  # found at once from now on
            return value
        if name in modules.values():
            return import_module(f".{name}", package)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return get, lambda: sorted({*vars(module), *modules})


def _modules_of_names(path: Path) -> dict[str, str]:
    """From which of its modules a package has the names in its block for type checkers."""
    (block,) = (
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
