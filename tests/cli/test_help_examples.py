"""What each command's --help shows as an example works when it is pasted after the demo."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from segsuite.cli import COMMANDS
from tests.helpers import REPO
from tests.processes import python_command, run_segsuite_here

# Each trains a network or starts a process: seconds that `make test` does not spend.
SLOW = {"compare", "convert", "demo", "serve", "train"}
NEEDS = {"plot": "matplotlib", "serve": "gradio", "completion": "shtab"}
# What some command has written when its examples have run.
WRITTEN = {
    "analyze": ["costs.json"],
    "benchmark": ["speed.json"],
    "check": ["findings.json", "fixed/shapes_val/images"],
    "convert": ["ours.pth"],
    "demo": ["demo/pictures/contact_sheet.png"],
    "eval": ["demo/evaluation/shapes_train/sem_seg_evaluation.json"],
    "plot": ["demo/curves.png"],
    "predict": ["predictions/labels/0000.png"],
    "recipes": ["my.yaml"],
    "report": ["demo/report.html"],
    "train": ["short/model_final.pth"],
    "look": ["data/data.jpg", "data/0000.jpg"],
}
SHORT = ("SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2")


def examples(name: str) -> list[str]:
    """The commands in the first block of examples, those over several lines as one."""
    module = name.replace("-", "_")
    text = importlib.import_module(f"segsuite.cli.{module}").EXAMPLES
    block = re.search(r"^(?:after `segsuite demo`|examples?).*:\n((?:  .*\n)+)", text, re.M)
    assert block, f"no examples in\n{text}"
    lines = re.sub(r"\\\n\s*", "", block[1]).splitlines()
    return [line.strip() for line in lines]


@pytest.fixture(scope="module")
def after_demo(shapes_root, tmp_path_factory):
    """A folder in which a demo of two steps has run."""
    folder = tmp_path_factory.mktemp("after_demo")
    (folder / "datasets").symlink_to(shapes_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("SEGSUITE_DATASETS", raising=False)
        assert run_segsuite_here("demo", *SHORT) == 0
    return folder


@pytest.fixture
def in_demo_folder(after_demo, monkeypatch, tmp_path):
    monkeypatch.chdir(after_demo)
    monkeypatch.delenv("SEGSUITE_DATASETS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".zfunc", ".local/share/bash-completion/completions"):
        (tmp_path / name).mkdir(parents=True)
    return after_demo


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_and_has_an_example(name, capsys):
    assert run_segsuite_here(name, "--help") == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 100 for line in printed.splitlines())
    assert len(printed.splitlines()) <= 60, "more than a screenful"
    assert any(command.startswith(f"segsuite {name}") for command in examples(name))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in COMMANDS]
)
def test_examples_work(name, in_demo_folder, capsys):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    for command in examples(name):
        program, *words = shlex.split(command)
        if words[0] == "serve":
            starts_and_stops(words)
        elif program == "segsuite" and ">" not in words:
            status = run_segsuite_here(*words)
            assert status == 0, (command, capsys.readouterr())
        else:
            paste(command, in_demo_folder)
    for file in WRITTEN.get(name, []):
        assert (in_demo_folder / "output" / file).exists(), file


def paste(command: str, folder: Path) -> None:
    """What a shell does with a command, in which `segsuite` is the one that is tested."""
    functions = f'segsuite() {{ {sys.executable} -m segsuite "$@"; }}\n'
    functions += f'python() {{ {sys.executable} "$@"; }}\n'
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    subprocess.run(
        ["bash", "-c", functions + command], cwd=folder, env=environment, check=True, timeout=600
    )


def starts_and_stops(words: list[str]) -> None:
    process = subprocess.Popen(
        python_command("-m", "segsuite", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    timer = threading.Timer(300, process.kill)
    timer.start()
    printed = ""
    for line in process.stdout:
        printed += line
        if "http://127.0.0.1:" in line:
            process.send_signal(signal.SIGINT)
    timer.cancel()
    assert "http://127.0.0.1:" in printed and process.wait() == 0, printed
