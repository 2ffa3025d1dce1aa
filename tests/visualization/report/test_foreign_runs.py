"""Reports of runs that somebody else has made: they give away nothing of whoever writes them."""

import base64
import json
import os
import shutil

import pytest

from segsuite.errors import DataError
from segsuite.predict import Predictor
from segsuite.visualization.report import write_report
from tests.finished_runs import tiny_run

SECRET = b"RIFF....WEBP a secret of whoever writes the report"
CSS = "0);background:url(//elsewhere.example/x"


@pytest.fixture
def foreign(tmp_path):
    """A copy of a run to tamper with, and beside it a file that is none of the run's."""
    (tmp_path / "secret.webp").write_bytes(SECRET)
    return shutil.copytree(tiny_run(), tmp_path / "run")


def change_examples(run, change):
    (index,) = run.glob("evaluation/*/examples/examples.json")
    content = json.loads(index.read_text())
    change(content["examples"][0], index.parent)
    index.write_text(json.dumps(content))
    return index


def change_info(run, change):
    info = json.loads((run / "run_info.json").read_text())
    change(info["metadata"])
    (run / "run_info.json").write_text(json.dumps(info))


def refused(run, match):
    with pytest.raises(DataError, match=match):
        write_report([run], run.parent / "report.html")
    assert not (run.parent / "report.html").exists()


@pytest.mark.parametrize("key", ["views", "class_errors"])
@pytest.mark.parametrize("way", ["absolute", "relative", "link", "linked folder"])
def test_no_picture_is_taken_from_outside(foreign, key, way):
    secret = foreign.parent / "secret.webp"

    def change(example, folder):
        name = {"absolute": str(secret), "relative": os.path.relpath(secret, folder)}.get(way)
        if way == "link":
            name = "linked.webp"
            (folder / name).symlink_to(secret)
        elif way == "linked folder":
            name = secret.name
            folder.rename(foreign.parent / "examples")
            folder.symlink_to(foreign.parent, target_is_directory=True)
        example[key] = dict.fromkeys(example[key] or ["ground"], name)

    change_examples(foreign, change)
    if way == "linked folder":
        shutil.copy(next(tiny_run().glob("evaluation/*/examples/*.json")), foreign.parent)
        change_examples(foreign, lambda e, _: e.update({key: {"image": secret.name}}))
    refused(foreign, "names the picture .*not taken into the report.*folder")


def test_a_picture_is_a_picture(foreign):
    change_examples(foreign, lambda e, _: e["views"].update(image="examples.json"))
    refused(foreign, "'examples.json'.*no WebP picture")
    change_examples(foreign, lambda e, _: e["views"].update(image="gone.webp"))
    refused(foreign, r"'gone\.webp'.*no such file")


def test_sizes_are_numbers(foreign):
    change_examples(foreign, lambda e, _: e.update(width="1;background:url(//elsewhere.example)"))
    refused(foreign, "width of an example in .*1;background")


@pytest.mark.parametrize("color", [["0", "0", CSS], [0, 0], [0, 0, 256], "red", [0, 0, True]])
def test_colors_are_colors(foreign, color):
    def change(metadata):
        metadata["stuff_colors"][1] = color

    change_info(foreign, change)
    refused(foreign, r"run_info\.json has .* among its stuff_colors: expected \[red, green, blue\]")
    with pytest.raises(DataError, match="stuff_colors"):
        Predictor(foreign)


def test_the_run_as_it_was_is_reported(foreign):
    text = write_report([foreign], foreign.parent / "report.html").read_text()
    assert "data:image/webp;base64," in text
    assert base64.b64encode(SECRET)[:20].decode() not in text
