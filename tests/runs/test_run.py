from __future__ import annotations

import json
import shutil

import pytest

import segsuite
from segsuite.errors import DataError, MissingFileError
from segsuite.runs import EvaluationFiles, Run
from tests.engine.tiny import CLASSES
from tests.finished_runs import coco_run, tiny_run
from tests.processes import run_python


@pytest.fixture(scope="module")
def run():
    return segsuite.Run(tiny_run())


class TestSemanticRun:
    def test_configuration(self, run):
        assert run.config.SOLVER.MAX_ITER == 8 and run.config.is_frozen()
        assert run.settings["SOLVER.MAX_ITER"] == 8
        assert run.settings["MODEL.UNET.CHANNELS"] == [4, 8]

    def test_configuration_to_build_with_is_where_the_run_is_now(self, run, tmp_path):
        moved = tmp_path / "moved"
        shutil.copytree(tiny_run(), moved)
        cfg = Run(moved).load_config(["TEST.EXAMPLES", 1])
        assert str(moved) == cfg.OUTPUT_DIR and cfg.TEST.EXAMPLES == 1
        assert not cfg.is_frozen() and cfg.MODEL.WEIGHTS == ""

    def test_metrics_and_curves(self, run):
        assert run.metrics[-1]["iteration"] == 7
        curve = run.curve("sem_seg/mIoU")
        assert [i for i, _ in curve] == [4, 8]
        assert curve[-1][1] == pytest.approx(run.metrics[-1]["sem_seg/mIoU"])
        assert run.curve("no_such_figure") == []

    def test_checkpoints_in_order(self, run):
        names = ["model_0000004", "model_0000008", "model_best", "model_final"]
        assert list(run.checkpoints) == names
        assert all(path.is_file() for path in run.checkpoints.values())

    def test_classes(self, run):
        assert run.classes == {"stuff": CLASSES}
        assert run.metadata.stuff_classes == CLASSES

    def test_evaluations_by_data_set_and_task(self, run):
        (name, evaluation), *others = run.evaluations.items()
        assert name == "tiny_val" and not others
        figures = evaluation.results["sem_seg"]
        assert figures["mIoU"] == pytest.approx(run.metrics[-1]["sem_seg/mIoU"])
        matrix = evaluation.contents["sem_seg"]["confusion_matrix"]
        assert sum(map(sum, matrix)) == 4 * 32 * 32
        low, high = evaluation.intervals["mIoU"]
        assert low <= figures["mIoU"] <= high
        assert evaluation.speed["images"] == 4
        assert evaluation.examples_task == "sem_seg"
        example = evaluation.examples[0]
        assert (example["folder"] / example["views"]["image"]).is_file()

    def test_where_it_comes_from(self, run):
        (start,) = run.info["starts"]
        assert start["environment"]["torch"] and start["iteration"] == 0


def test_several_tasks_of_one_data_set():
    run = Run(coco_run("panoptic"))
    (evaluation,) = run.evaluations.values()
    assert set(evaluation.results) == {"sem_seg", "bbox", "segm", "panoptic_seg"}
    assert evaluation.results["segm"].keys() >= {"AP", "AP50"}
    assert evaluation.contents["bbox"] is evaluation.contents["segm"]
    assert run.classes.keys() == {"stuff", "things"}


class TestIncomplete:
    def test_no_run(self, tmp_path):
        for folder in (tmp_path, tmp_path / "gone"):
            with pytest.raises(MissingFileError, match=r"is no run: it has no config\.yaml"):
                Run(folder)

    def test_evaluations_alone_are_a_run_but_none_to_build(self, tmp_path):
        files = EvaluationFiles(tmp_path / "evaluation" / "zoo")
        files.folder.mkdir(parents=True)
        files.coco.write_text(json.dumps({"results": {"bbox": {"AP": 1.0}}}))
        run = Run(tmp_path)
        assert run.evaluations["zoo"].results == {"bbox": {"AP": 1.0}}
        assert run.settings == {} == run.info and run.classes == {} and run.metadata is None
        assert run.metrics == [] and run.checkpoints == {}
        assert run.evaluations["zoo"].examples == [] and run.evaluations["zoo"].speed == {}
        with pytest.raises(MissingFileError, match="nothing was trained there"):
            run.load_config()

    @pytest.mark.parametrize("text", ["{", "[1]", "{}x"])
    def test_a_damaged_file_is_named(self, tmp_path, text):
        (tmp_path / "config.yaml").write_text("SEED: 1\n")
        (tmp_path / "run_info.json").write_text(text)
        with pytest.raises(DataError, match=r"run_info\.json is damaged"):
            Run(tmp_path).info  # noqa: B018

    def test_figures_without_results(self, tmp_path):
        files = EvaluationFiles(tmp_path / "evaluation" / "zoo")
        files.folder.mkdir(parents=True)
        files.sem_seg.write_text('{"dataset": "zoo"}')
        with pytest.raises(DataError, match="no 'results'"):
            Run(tmp_path).evaluations["zoo"].results  # noqa: B018


def test_files_are_read_when_they_are_asked_for_and_once(tmp_path):
    shutil.copytree(tiny_run(), tmp_path / "run")
    run = Run(tmp_path / "run")
    metrics, results = run.metrics, run.evaluations["tiny_val"].results
    shutil.rmtree(tmp_path / "run")
    assert run.metrics is metrics and run.evaluations["tiny_val"].results is results


def test_the_front_door_is_lazy():
    code = (
        "import sys, segsuite; assert 'torch' not in sys.modules; "
        "assert {'Run', 'Predictor'} <= set(dir(segsuite)) | set(segsuite.__all__); "
        "assert segsuite.Run.__name__ == 'Run'"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
