"""`segsuite train` and `segsuite eval` as a user has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from segsuite.data import DatasetCatalog
from segsuite.runs import Run
from tests.engine.tiny import lines, load, tiny_config
from tests.finished_runs import coco_run, tiny_run
from tests.processes import run_python, run_segsuite_here


@pytest.fixture(scope="module")
def config():
    return tiny_config()


def train(*args: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return run_python(*launcher, "-m", "segsuite", "train", *args)


def test_train_then_evaluate(config, tmp_path):
    trained = train("--config-file", config, "OUTPUT_DIR", tmp_path, "SOLVER.MAX_ITER", 4)
    assert trained.returncode == 0, trained.stderr
    assert "iter 3/4" in trained.stdout and "mIoU" in trained.stdout
    assert load(tmp_path / "model_final.pth")["model"]

    evaluate = train("--config-file", config, "--eval-only", "OUTPUT_DIR", tmp_path)
    assert evaluate.returncode == 0, evaluate.stderr
    figures = lines(tmp_path)[-1]
    assert f"{figures['sem_seg/mIoU']:.2f}" in evaluate.stdout

    again = train("--config-file", config, "OUTPUT_DIR", tmp_path)
    assert again.returncode == 2
    assert again.stderr.strip().splitlines()[-1].startswith("error: OUTPUT_DIR")
    assert "Traceback" not in again.stderr


def test_a_run_goes_on_from_any_folder(config, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    short = ["DATALOADER.NUM_WORKERS", 0, "TEST.REPORT", False, "SOLVER.MAX_ITER"]
    monkeypatch.chdir(tmp_path / "here")
    assert run_segsuite_here("train", "--config-file", config, *short, 2, "OUTPUT_DIR", "run") == 0
    monkeypatch.chdir(tmp_path / "there")
    file = "../here/run/config.yaml"
    assert run_segsuite_here("train", "--config-file", file, "--resume", *short, 3) == 0
    assert run_segsuite_here("train", "--run-dir", "../here/run", "--resume", *short, 4) == 0
    assert run_segsuite_here("eval", "--run-dir", "../here/run", "--dataset", "tiny_val") == 0
    assert [line["iteration"] for line in lines(tmp_path / "here" / "run")][-1] == 3
    assert load(tmp_path / "here" / "run" / "model_0000004.pth")["iteration"] == 4
    assert not list((tmp_path / "there").iterdir())


def test_num_gpus_and_an_input_error_told_once(config, tmp_path):
    options = ["--config-file", config, "--num-gpus", 2, "OUTPUT_DIR", tmp_path]
    failed = train(*options, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 7)
    assert failed.returncode == 2
    assert failed.stderr.count("error:") == 1 and "NUM_CLASSES" in failed.stderr
    assert "Traceback" not in failed.stderr
    trained = train(*options, "SOLVER.MAX_ITER", 2)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "model_final.pth").exists()


def test_under_torchrun(config, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    options = ["--config-file", config, "OUTPUT_DIR", tmp_path, "SOLVER.MAX_ITER", 2]
    trained = train(*options, launcher=launcher)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "model_final.pth").exists()
    assert (tmp_path / "log.rank1.txt").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config-file", "not/here.yaml"], "not/here.yaml"),
        (["--config-file", "CONFIG", "SOLVER.BASE_LRR", "1"], "did you mean SOLVER.BASE_LR?"),
        (["--config-file", "CONFIG", "MODEL.META_ARCHITECTURE", "Segmentor"], "SemanticSegmentor"),
        (["--config-file", "CONFIG", "--plugin", "no_such_plugin"], "no_such_plugin"),
        (["--config-file", "CONFIG", "MODEL.WEIGHTS", "nothing.pth"], "nothing.pth"),
        (
            ["--config-file", "CONFIG", "--results", "a.json"],
            "SemSegEvaluator can't",
        ),
    ],
)
def test_bad_input_is_one_message(config, tmp_path, capsys, args, message):
    args = [str(config) if a == "CONFIG" else a for a in args]
    assert run_segsuite_here("train", *args, "OUTPUT_DIR", tmp_path) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


@pytest.mark.parametrize("kind", ["semantic", "instances"])
def test_slices(kind, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run() if kind == "semantic" else coco_run(kind), run)
    monkeypatch.chdir(tmp_path)
    records = Run(run).load_config().DATASETS.TEST
    files = [record["file_name"] for record in DatasetCatalog.get(records[0])]
    rows = [f"{Path(files[0]).name},night;rain", f"{files[1]},rain", "other.png,rain"]
    (tmp_path / "tags.csv").write_text("\n".join(["image,tag", *rows]))
    arguments = ["--slices", "tags.csv", "TEST.REPORT", "True", "TEST.EXAMPLES", "0"]
    assert run_segsuite_here("eval", "--run-dir", run, *arguments) == 0
    evaluation = Run(run).evaluations[records[0]]
    printed = capsys.readouterr().out
    assert "1 of 3 rows are of no image" in printed and "other.png" in printed
    for task in ["sem_seg"] if kind == "semantic" else ["bbox", "segm"]:
        slices = evaluation.contents[task]["slices"]
        slices = slices.get(task, slices)
        assert {name: x["images"] for name, x in slices.items()} == {"night": 1, "rain": 2}
        assert evaluation.files.slices(task).exists()
    if kind == "instances":
        assert "missed" in evaluation.contents["bbox"]["errors"]["segm"]["kinds"]
    assert "By slice" in Run(run).files.report.read_text()

    assert run_segsuite_here("eval", "--run-dir", run, "--slices", "nowhere.csv") == 2
    assert "no file nowhere.csv of slices" in capsys.readouterr().err
