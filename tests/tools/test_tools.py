"""The scripts in tools/ are the commands of `segsuite`."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.helpers import REPO
from tests.processes import run_python

TOOLS = sorted(path.name for path in (REPO / "tools").glob("*.py"))


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_a_command(name, monkeypatch, capsys):
    path = REPO / "tools" / name
    command = runpy.run_path(str(path))["__doc__"].split("`")[1]
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.startswith(f"usage: {command} ")


def test_from_another_folder(tmp_path):
    done = run_python(REPO / "tools" / "train_net.py", "--config-file", "no.yaml", folder=tmp_path)
    assert done.returncode == 2 and "no configuration file no.yaml" in done.stderr
