"""Where a command line ends and ``KEY VALUE`` pairs begin."""

from __future__ import annotations

import pytest

from segsuite.cli import command_parser
from segsuite.cli.arguments import load_from_arguments, parse
from tests.processes import run_segsuite_here

PREDICT = ["--run-dir", "run", "--output", "out", "--input", "a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("words", "opts"),
    [
        ([], []),
        (["MODEL.DEVICE", "cpu"], ["MODEL.DEVICE", "cpu"]),
        (["--live", "MODEL.DEVICE", "cpu"], ["MODEL.DEVICE", "cpu"]),
        (["--opts", "MODEL.DEVICE", "cpu"], ["MODEL.DEVICE", "cpu"]),  # Detectron2's demo.py
        (["OUTPUT_DIR", "x", "SEED", "1"], ["OUTPUT_DIR", "x", "SEED", "1"]),
        (["MY_PLUGIN.WIDTH", "3"], ["MY_PLUGIN.WIDTH", "3"]),
        (["MODEL.WEIGHTS", "A.PTH"], ["MODEL.WEIGHTS", "A.PTH"]),
    ],
)
def test_pairs_end_an_option_with_many_values(words, opts):
    args = parse(command_parser("predict"), [*PREDICT, *words])
    assert args.input == ["a.jpg", "b.jpg"] and args.opts == opts


def test_names_of_files_are_no_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL.X").touch()
    words = [*PREDICT, "IMG_0001.JPG", "MODEL.X", "SEED", "3"]
    args = parse(command_parser("predict"), words)
    assert args.input[-2:] == ["IMG_0001.JPG", "MODEL.X"] and args.opts == ["SEED", "3"]


def test_names_of_data_sets_are_no_keys():
    args = parse(command_parser("check"), ["my_train", "my_val", "SEED", "3"])
    assert args.datasets == ["my_train", "my_val"] and args.opts == ["SEED", "3"]


def test_options_behind_the_pairs_are_told(capsys):
    status = run_segsuite_here("train", "--config-file", "demo", "SEED", "1", "--resume", "x")
    assert status == 2
    assert "--resume stands among the overrides; options come before" in capsys.readouterr().err


def test_a_run_and_a_file_are_one_too_many(capsys):
    assert run_segsuite_here("train", "--config-file", "demo", "--run-dir", "x") == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_configuration_of_a_recipe():
    words = ["--config-file", "demo", "SOLVER.MAX_ITER", "1e2", "DATASETS.TEST", "a,b"]
    cfg = load_from_arguments(parse(command_parser("train"), words))
    assert cfg.SOLVER.MAX_ITER == 100 and cfg.DATASETS.TEST == ("a", "b")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "`segsuite train --help` has examples"),
        (["my.yaml"], "did you mean --config-file my.yaml?"),
        (["camvid/unet"], "did you mean --config-file camvid/unet?"),
        (["run"], "did you mean --run-dir run?"),
        (["--config-file", "demo", "MAX_ITER", "5"], "did you mean the key SOLVER.MAX_ITER?"),
        (["--config-file", "demo", "solver.max_iter", "5"], "the key SOLVER.MAX_ITER?"),
        (["--config-file", "demo", "SOLVER.MAX_ITER=5"], "with a space: SOLVER.MAX_ITER 5"),
        (["--config-file", "demo", "--output-dir", "x"], "`segsuite train --help` has examples"),
    ],
)
def test_what_was_probably_meant(words, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for name in ("my.yaml", "run/config.yaml"):
        (tmp_path / name).touch()
    assert run_segsuite_here("train", *words) == 2
    assert hint in capsys.readouterr().err


def test_a_key_without_its_value(capsys):
    assert run_segsuite_here("train", "--config-file", "demo", "SOLVER.MAX_ITER") == 2
    assert "in pairs, KEY VALUE; the command line has an odd" in capsys.readouterr().err


def test_a_copy_of_no_recipe(capsys):
    assert run_segsuite_here("recipes", "--copy", "my.yaml") == 2
    assert "segsuite recipes NAME --copy my.yaml" in capsys.readouterr().err
