"""Every benchmark runs, on the CPU with small inputs, and has a row for each of its cases."""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from types import ModuleType

import goals
import pytest
import run_all
from comparison import Settings, measure

from tests.processes import run_python

QUICK = Settings(quick=True, repetitions=1)
SCRIPTS = [script for part in run_all.PARTS.values() for script in part]


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


def names(settings: Settings) -> list[str]:
    return [case.name for name in SCRIPTS for case in script(name).cases(settings)]


@pytest.mark.parametrize("settings", [QUICK, Settings(), Settings("cuda")], ids=str)
def test_rows_have_names_of_their_own(settings):
    assert not [name for name, count in Counter(names(settings)).items() if count > 1]


def test_every_goal_is_that_of_a_row():
    assert set(goals.GOALS) <= set(names(Settings("cuda")))


@pytest.mark.parametrize("operator", run_all.PARTS["operators"])
def test_operators(operator):
    cases = [*script(operator).cases(QUICK)]
    rows = [*measure(cases, QUICK)]
    assert [row.name for row in rows] == [case.name for case in cases]
    for row in rows:
        assert row.ratio is not None and row.floor_ms is not None, row.remarks
        said = re.search(r"(\d+) (?:pixels )?differ|differ by (\S+)|^$", row.remarks)
        assert said and float(said[1] or said[2] or 0) < (0.01 if "float16" in row.name else 1e-5)


@pytest.mark.slow
def test_run_all(tmp_path):
    path = tmp_path / "rows.json"
    words = ["--quick", "--repetitions", "1", "--json", path]
    result = run_python("benchmarks/run_all.py", *words)
    content = json.loads(path.read_text())
    rows = content["rows"]
    assert [row["name"] for row in rows] == names(QUICK)
    printed = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].strip("| ") for line in printed] == ["work", *names(QUICK)]
    for row in rows:
        assert row["segsuite_ms"] is not None, row["remarks"]
        if not row["name"].startswith("train_net.py"):
            assert row["ratio"] is not None
    assert content["machine"]["torch"] in result.stdout


@pytest.mark.slow
def test_a_script_that_dies_is_a_row(tmp_path, monkeypatch, capfd):
    (tmp_path / "dies.py").write_text("import os; os.abort()")
    monkeypatch.setattr(run_all, "__file__", str(tmp_path / "run_all.py"))
    (row,) = run_all.run("dies", [], float("inf"))
    assert row["name"] == "dies.py" and "ended with status -6" in row["remarks"]
    assert "ended with status -6" in capfd.readouterr().out
