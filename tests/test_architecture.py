"""The floors of docs/architecture.md hold: imports go down, never up or sideways, and what is
imported from elsewhere is a dependency that pyproject.toml declares."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import segsuite
from tests.helpers import REPO

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest depends on it there

FLOORS = {
    "utils": 0,
    "runtime": 0,
    "config": 1,
    "ops": 1,
    "structures": 2,
    "layers": 2,
    "acceleration": 3,
    "data": 3,
    "modeling": 3,
    "solver": 3,
    "checkpoint": 3,
    "runs": 4,
    "models": 5,
    "evaluation": 5,
    "visualization": 5,
    "predict": 6,
    "engine": 7,
    "exporting": 8,
    "profiling": 8,
    "cli": 9,
}
# The environment report says which implementation of the operators runs.
EXCEPTIONS = {"utils/env.py": {"segsuite.ops.extension_status"}}

IMAGE_PACKAGES = {"numpy", "PIL", "cv2", "pycocotools"}
# Where arrays of other libraries are at home, and the files that read or write them.
IMAGE_PACKAGES_ALLOWED = (
    "data/",
    "visualization/",
    "structures/masks.py",  # polygons stay polygons up to the targets of the mask head
    "structures/polygons.py",  # ... and are made safe to draw before pycocotools draws them
    "structures/rle.py",  # COCO's run lengths are pycocotools' work
    "structures/run_lengths.py",
    "checkpoint/rng.py",  # NumPy's generator is part of a run's state
    "evaluation/sem_seg.py",  # writes predictions as PNG
    "evaluation/coco",  # the arrays and run-length encodings of pycocotools
    "evaluation/lvis",  # the same by LVIS's rules
    "evaluation/slice_figures.py",  # what both have of their arrays
    "predict/geojson.py",  # write the maps of scenes
    "predict/scenes.py",
    "profiling/exported.py",  # compares the arrays that processes have written
    "runtime/",  # runs where there is no PyTorch
    "modeling/exported/",  # ... and gives arrays
)
# What exported models run with, where nothing else need be installed; OpenCV reads PNGs of 16 bits.
RUNTIME_PACKAGES = {"numpy", "PIL", "onnxruntime", "openvino", "cv2"}
SEGSUITE = REPO / "segsuite"
FILES = {path.relative_to(SEGSUITE).as_posix(): path for path in sorted(SEGSUITE.rglob("*.py"))}
TOOLS = sorted((REPO / "tools").glob("*.py"))

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = packages_distributions()


def imported(path: Path, nodes: Iterable[ast.AST]) -> set[str]:
    """The absolute names that the import statements among `nodes` of the file `path` ask for."""
    found: set[str] = set()
    package = path.relative_to(SEGSUITE.parent).parent.parts
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            # `from segsuite.utils import comm` names a module, `from .x import f` an object of one.
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def imports(path: Path) -> set[str]:
    return imported(path, ast.walk(ast.parse(path.read_text())))


def imports_on_import(path: Path) -> set[str]:
    """Without those inside functions, and those for type checkers alone."""

    def executed(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if not is_function and not is_for_type_checkers(child):
                yield child
                yield from executed(child)

    return imported(path, executed(ast.parse(path.read_text())))


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def top_level(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def upward(path: Path) -> set[str]:
    """What `path` imports from its own floor or above, other than from its own package."""
    own = path.relative_to(SEGSUITE).parts[0]
    found = set()
    for name in imports(path):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if package != "segsuite" or other == own or other not in FLOORS:
            continue
        if FLOORS[other] >= FLOORS[own]:
            found.add(name)
    return found


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def undeclared(path: Path) -> set[str]:
    """The packages that `path` imports and that are no dependency; inside a function an extra of
    the package will do, which is installed on request only."""
    required = declared(PROJECT["dependencies"])
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "test"}
    optional = declared(line for lines in extras.values() for line in lines)

    def outside(names: set[str], allowed: set[str]) -> set[str]:
        packages = top_level(names) - sys.stdlib_module_names - {"segsuite"}
        return {
            package
            for package in packages
            if not allowed & set(map(canonicalize_name, DISTRIBUTIONS.get(package, [package])))
        }

    return outside(imports_on_import(path), required) | outside(imports(path), required | optional)


def test_every_package_has_a_floor():
    assert {path.parent.name for path in SEGSUITE.glob("*/__init__.py")} == FLOORS.keys()


def test_the_package_itself_imports_nothing():
    assert top_level(imports_on_import(SEGSUITE / "__init__.py")) == {"typing"}


def test_type_checkers_see_what_the_package_has():
    path = SEGSUITE / "__init__.py"
    (block,) = filter(is_for_type_checkers, ast.parse(path.read_text()).body)
    seen = {name.rpartition(".")[2] for name in imported(path, ast.walk(block))}
    assert {*seen, "__version__"} == set(segsuite.__all__)


def test_imports_go_down():
    found = {name: upward(path) for name, path in FILES.items() if "/" in name}
    assert {name: names for name, names in found.items() if names} == EXCEPTIONS


def test_image_packages_stay_where_images_are():
    for name, path in FILES.items():
        if not name.startswith(IMAGE_PACKAGES_ALLOWED):
            assert not top_level(imports(path)) & IMAGE_PACKAGES, name


def test_the_runtime_needs_nothing_else():
    for name, path in FILES.items():
        if name.startswith("runtime/"):
            assert top_level(imports(path)) <= {
                *sys.stdlib_module_names,
                *RUNTIME_PACKAGES,
                "segsuite",
            }, name
            own = {n for n in imports(path) if n.startswith("segsuite.")}
            assert all(n.startswith(("segsuite.errors.", "segsuite.runtime.")) for n in own), name


def test_what_is_imported_is_declared():
    found = {path: undeclared(path) for path in [*FILES.values(), *TOOLS]}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line, missing",
    [
        ("import yaml", set()),
        ("from PIL import Image", set()),
        ("import requests", {"requests"}),
        ("from timm.models import create_model", {"timm"}),
        ("def f():\n    import timm", set()),
        ("def f():\n    import pytest", {"pytest"}),
    ],
)
def test_undeclared_packages_are_seen(tmp_path, monkeypatch, line, missing):
    monkeypatch.setitem(globals(), "SEGSUITE", tmp_path / "segsuite")
    path = tmp_path / "segsuite" / "utils" / "file.py"
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert undeclared(path) == missing


@pytest.mark.parametrize(
    "file, line, offends",
    [
        ("data/build.py", "from segsuite.engine import launch", True),
        ("data/build.py", "def f():\n    import segsuite.modeling.losses", True),
        ("data/transforms/crop.py", "from ...modeling import losses", True),
        ("data/transforms/crop.py", "from ..catalog import Metadata", False),
        ("data/build.py", "from segsuite.utils import comm", False),
        ("utils/comm.py", "from segsuite import config", True),
        ("solver/build.py", "from segsuite import __version__", False),
    ],
)
def test_upward_imports_are_seen(tmp_path, monkeypatch, file, line, offends):
    monkeypatch.setitem(globals(), "SEGSUITE", tmp_path / "segsuite")
    path = tmp_path / "segsuite" / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert bool(upward(path)) == offends
