from __future__ import annotations

import ast
import re

import pytest

from segsuite.errors import DataError
from segsuite.runs import EvaluationFiles, Run, RunFiles
from tests.finished_runs import coco_run, tiny_run
from tests.helpers import REPO

# The whole names of files; folders such as "examples" are words of other things, too.
NAMES = re.compile(
    r"config\.yaml|run_info\.json|metrics\.json|log\.txt|report\.html|\.lock|model_final|model_best"
    r"|sem_seg_evaluation\.json|image_counts\.pt|coco_evaluation\.json|speed\.json"
    r"|coco_instances_results\.json|panoptic_evaluation\.json|panoptic_results\.json"
    r"|examples\.json|nonfinite_.*"
)


def strings(tree: ast.AST):
    """The texts in code that are no docstrings, those inside of f-strings too."""
    docstrings = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                docstrings.add(statement.value)
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and node not in docstrings:
            yield node.value


def test_each_name_is_spelled_once():
    """Everybody else asks `RunFiles`; in its own template the report has its name."""
    spelled: dict[str, list[str]] = {}
    for path in sorted(REPO.glob("segsuite/**/*.py")):
        for text in strings(ast.parse(path.read_text())):
            if NAMES.fullmatch(text):
                spelled.setdefault(text, []).append(path.relative_to(REPO).as_posix())
    twice = {name: files for name, files in spelled.items() if len(files) > 1}
    # The page's template is called as the page is.
    assert twice == {
        "report.html": ["segsuite/runs/files.py", "segsuite/visualization/report/build.py"]
    }
    assert len(spelled) >= 16


def attributes(files):
    return {name: path for name, path in vars(files).items() if name != "folder"}


@pytest.mark.parametrize("kind", ["semantic", "panoptic"])
def test_a_run_leaves_what_is_named_and_nothing_else(kind):
    folder = tiny_run() if kind == "semantic" else coco_run(kind)
    files = RunFiles(folder)
    named = {*attributes(files).values(), files.log(), *files.checkpoints()}
    (evaluation,) = files.evaluations()
    named |= {evaluation.folder.parent}
    assert {path for path in folder.iterdir() if not path.name.startswith("images.")} <= named
    assert files.config.exists() and files.info.exists() and files.metrics.exists()
    assert set(evaluation.folder.iterdir()) <= set(attributes(evaluation).values())
    there = {task for task, path in evaluation.figures.items() if path.exists()}
    assert there == ({"sem_seg"} if kind == "semantic" else {"sem_seg", "bbox", "panoptic_seg"})
    assert EvaluationFiles(evaluation.folder).speed.exists()


def test_checkpoints_are_in_order(tmp_path):
    files = RunFiles(tmp_path)
    for name in ("model_final", "model_0000100", "model_10000000", "model_0000020", "model_best"):
        (tmp_path / f"{name}.pth").touch()
    names = [path.stem for path in files.checkpoints()]
    assert names == [
        *("model_0000020", "model_0000100", "model_10000000"),
        *("model_best", "model_final"),
    ]


def test_json_of_a_run_that_is_nested_too_deeply(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    (tmp_path / "config.yaml").write_text("SEED: 1\n")
    (tmp_path / "run_info.json").write_text(f'{{"starts": {deep}}}')
    (tmp_path / "metrics.json").write_text(f'{{"iteration": 1, "lr": 2}}\n{deep}\n')
    with pytest.raises(DataError, match=r"run_info\.json is damaged.*nested too deeply"):
        Run(tmp_path).info  # noqa: B018
    assert Run(tmp_path).curve("lr") == [(2, 2)]
