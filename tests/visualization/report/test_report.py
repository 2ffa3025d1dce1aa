import json
import re

import pytest

from segsuite.runs import Run
from segsuite.visualization.report import write_report
from segsuite.visualization.report.figures import confusion_table, top_confusions
from tests.finished_runs import coco_run, tiny_run

from .pages import Page, figures_of
from .runs import write_instance_run

# The tasks that are evaluated in a run of each kind.
TASKS = {
    "semantic": {"sem_seg"},
    "instances": {"bbox", "segm"},
    "panoptic": {"sem_seg", "bbox", "segm", "panoptic_seg"},
}


@pytest.mark.parametrize("kind", TASKS)
def test_every_figure_is_the_one_in_metrics_json(kind, tmp_path):
    run = tiny_run() if kind == "semantic" else coco_run(kind)
    dataset = "tiny_val" if kind == "semantic" else f"tiny_{kind}"
    page = Page(run / "report.html")  # the run wrote it itself
    expected = figures_of(run, dataset)
    assert {name.split("|")[2].split("/")[0] for name in expected} == TASKS[kind]
    assert page.figures == expected
    assert not page.external and "http" not in re.sub(r"base64,[^\"]*", "", page.text)
    assert write_report([run], tmp_path / "again.html").read_text() == page.text


def test_what_was_run_is_told():
    text = (tiny_run() / "report.html").read_text()
    for words in (
        *("What was run", "git revision", "first weights", "rule <code>detectron2</code>"),
        *("torch", "SOLVER.BASE_LR", "training step", "peak memory", "expected calibration error"),
        *("is taken for", "data:image/webp;base64,", ">worst</span>", ">best</span>"),
    ):
        assert words in text, words


def test_instances_have_curves_and_sizes_and_names_are_escaped(tmp_path):
    run = write_instance_run(tmp_path)
    page = Page(write_report([run], tmp_path / "report.html"))
    assert page.figures["coco_run|zoo_val|bbox/AP50"] == "50.25"
    assert page.figures["coco_run|zoo_val|segm/APm"] == "–"
    assert "&lt;dog&gt;" in page.text and "<dog>" not in page.text
    assert "Precision over recall" in page.text and "AP by the size" in page.text
    # Half a line at the end of metrics.json is what a killed run leaves.
    assert Run(run).curve("total_loss")[-1] == (9, pytest.approx(1 / 9))
    assert Run(run).curve("loss_mask") == []


def test_slices_and_errors_by_kind(tmp_path):
    run = write_instance_run(tmp_path)
    (path,) = run.glob("evaluation/*/coco_evaluation.json")
    content = json.loads(path.read_text())
    figures = {"AP": 41.5, "AP50": None, "AP-<dog>": 12.25}
    content["slices"] = {
        "bbox": {
            "<night>": {
                "images": 7,
                "results": figures,
                "intervals": {"AP": [31.25, 51.75], "AP50": [None, None], "AP-<dog>": [1, 22.5]},
            }
        }
    }
    content["errors"] = {"bbox": {"kinds": {"duplicate": {"count": 1234, "dAP": 3.75}}}}
    path.write_text(json.dumps(content))
    text = write_report([run], tmp_path / "report.html").read_text()
    assert "&lt;night&gt;" in text and "<night>" not in text
    for words in ("41.50", "31.25 – 51.75", "12.25", "1.00 – 22.50", "duplicate", "1,234", "3.75"):
        assert words in text, words
    assert "Worst images of each class" in (tiny_run() / "report.html").read_text()


def test_runs_side_by_side_and_what_differs(tmp_path):
    first = write_instance_run(tmp_path / "a")
    second = write_instance_run(tmp_path / "b", lr=0.5)
    page = Page(write_report([first, second], tmp_path / "both.html"))
    assert {name.split("|")[0] for name in page.figures} == {"a/coco_run", "b/coco_run"}
    section = page.text.split("What differs")[1].split("</section>")[0]
    assert "SOLVER.BASE_LR" in section and "0.5" in section and "SEED" not in section


def test_confusions():
    matrix = [[80, 20, 0, 0], [0, 0, 0, 0], [30, 10, 50, 10], [0, 0, 0, 0]]
    content = {"confusion_matrix": matrix, "classes": ["a", "b", "c"]}
    table = confusion_table(content)
    assert table["rows"][0][:2] == [(0.8, 80), (0.2, 20)] and table["rows"][1][0] == (None, 0)
    top = top_confusions(content)
    assert [(c["truth"], c["prediction"], c["share"]) for c in top] == [
        ("c", "a", 0.3),
        ("a", "b", 0.2),
        ("c", "b", 0.1),
    ]
    many = {"confusion_matrix": [[1] * 41] * 41, "classes": [str(i) for i in range(40)]}
    assert confusion_table(many)["left_out"] == 8 and confusion_table({}) is None


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no run"):
        write_report([tmp_path], tmp_path / "report.html")
