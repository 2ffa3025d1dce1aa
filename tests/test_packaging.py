"""What an installation gets: the files of the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.helpers import REPO


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory):
    """The names in the wheel that is built, without the extension, from a copy of the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(REPO / "segsuite", source / "segsuite", ignore=ignored)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run(
        [sys.executable, "-c", build],
        cwd=source,
        env={**os.environ, "SEGSUITE_EXT": "0"},
        check=True,
        capture_output=True,
    )
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_has_every_module(wheel_files):
    modules = {p.relative_to(REPO).as_posix() for p in (REPO / "segsuite").rglob("*.py")}
    assert modules <= wheel_files


def test_the_wheel_says_that_it_is_typed(wheel_files):
    assert "segsuite/py.typed" in wheel_files


def test_the_wheel_has_the_page_of_reports(wheel_files):
    assets = (REPO / "segsuite" / "visualization" / "report" / "assets").iterdir()
    assert {p.relative_to(REPO).as_posix() for p in assets} <= wheel_files
