"""The command `segsuite` itself."""

from __future__ import annotations

import subprocess

import pytest

import segsuite
from segsuite.cli import COMMANDS, command_parser
from segsuite.cli.main import full_parser
from tests.processes import python_command, run_python, run_segsuite, run_segsuite_here


def test_without_words_it_shows_what_there_is(capsys):
    assert run_segsuite_here() == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)
    assert max(map(len, printed.splitlines())) <= 100


def test_version(capsys):
    assert run_segsuite_here("--version") == 0
    assert capsys.readouterr().out == f"segsuite {segsuite.__version__}\n"


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    assert run_segsuite_here("trian") == 2
    assert "no command 'trian'; did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["recipes"], ["--version"]])
def test_what_answers_at_once_imports_no_torch(words):
    program = (
        "import sys\n"
        "from segsuite.cli import main\n"
        f"try:\n    main({words})\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_told_in_a_line(tmp_path):
    for name in ("torch", "yaml"):
        (tmp_path / f"{name}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')"
        )
        done = run_segsuite(
            *("train", "--config-file", "demo"), environment={"PYTHONPATH": str(tmp_path)}
        )
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and line.startswith(f"error: the package '{name}' is missing")
        (tmp_path / f"{name}.py").unlink()


def test_env_says_that_torch_is_missing(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    done = run_segsuite("env", environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "no torch here" in done.stdout and "pip install torch" in done.stdout


def test_a_reader_that_has_seen_enough():
    """`segsuite recipes | head -1`."""
    command = python_command("-m", "segsuite", "recipes")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("name", COMMANDS)
def test_one_parser_has_all_commands(name):
    alone = command_parser(name)
    (subparsers,) = (a for a in full_parser()._actions if a.dest == "command")
    options = [a.option_strings for a in subparsers.choices[name]._actions]
    assert options == [a.option_strings for a in alone._actions]


def test_completion_of_a_shell():
    pytest.importorskip("shtab", reason="shtab is not installed")
    done = run_segsuite("completion", "bash")
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert "--config-file" in done.stdout and "benchmark" in done.stdout
