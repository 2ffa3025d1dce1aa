"""What each tool's --help shows as an example works when it is pasted after `make demo`."""

from __future__ import annotations

import importlib.util
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.helpers import REPO
from tests.processes import python_command, run_python, run_tool_here

TOOLS = sorted(path.name for path in (REPO / "tools").glob("*.py"))
# Each trains a network or starts a process: seconds that `make test` does not spend.
SLOW = {"compare.py", "convert_weights.py", "demo.py", "serve.py", "train_net.py"}
NEEDS = {"plot_metrics.py": "matplotlib", "serve.py": "gradio"}
# What some tool has written when its examples have run.
WRITTEN = {
    "analyze_model.py": ["costs.json"],
    "benchmark.py": ["speed.json"],
    "check_data.py": ["findings.json", "mended/shapes_val/images"],
    "convert_weights.py": ["ours.pth"],
    "demo.py": ["demo/pictures/contact_sheet.png"],
    "plot_metrics.py": ["demo/curves.png"],
    "predict.py": ["predictions/labels/0000.png"],
    "report.py": ["demo/report.html"],
    "train_net.py": ["short/model_final.pth"],
    "visualize_data.py": ["data/data.jpg", "data/0000.jpg"],
}
SHORT = ("SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2")


def examples(help_text: str) -> list[str]:
    """The commands below "after `make demo`", those over several lines as one."""
    block = re.search(r"^after `make demo`.*:\n((?:  .*\n)+)", help_text, re.M)
    assert block, f"no examples in\n{help_text}"
    return [line.strip() for line in re.sub(r"\\\n\s*", "", block[1]).splitlines()]


@pytest.fixture(scope="module")
def after_demo(shapes_root, tmp_path_factory):
    """A folder in which a demo of two steps has run."""
    folder = tmp_path_factory.mktemp("after_demo")
    for name in ("tools", "configs"):
        (folder / name).symlink_to(REPO / name)
    (folder / "datasets").symlink_to(shapes_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("SEGSUITE_DATASETS", raising=False)
        assert run_tool_here("demo.py", *SHORT) == 0
    return folder


@pytest.fixture
def in_demo_folder(after_demo, monkeypatch):
    monkeypatch.chdir(after_demo)
    monkeypatch.delenv("SEGSUITE_DATASETS", raising=False)
    return after_demo


@pytest.mark.parametrize("name", TOOLS)
def test_help_has_an_example(name, capsys):
    assert run_tool_here(name, "--help") == 0
    commands = examples(capsys.readouterr().out)
    assert any(command.startswith(f"python tools/{name}") for command in commands)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TOOLS]
)
def test_examples_work(name, in_demo_folder, capsys):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    run_tool_here(name, "--help")
    for command in examples(capsys.readouterr().out):
        words = shlex.split(command)
        assert words[0] == "python"
        if words[1] == "tools/serve.py":
            starts_and_stops(words[1:])
        elif words[1].startswith("tools/"):
            status = run_tool_here(Path(words[1]).name, *words[2:])
            assert status == 0, (command, capsys.readouterr())
        else:
            done = run_python(*words[1:], folder=in_demo_folder)
            assert done.returncode == 0, (command, done.stderr)
    for file in WRITTEN.get(name, []):
        assert (in_demo_folder / "output" / file).exists(), file


def starts_and_stops(words: list[str]) -> None:
    process = subprocess.Popen(
        python_command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
