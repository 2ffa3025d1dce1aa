"""The figures of each image, and the worst images of each class."""

from __future__ import annotations

import csv
import json

import pytest

from segsuite.errors import ConfigError
from segsuite.evaluation.slices import Slices

from .helpers import make_record
from .test_sem_seg import NAMES, make_evaluator, run

RECORDS = [make_record(i, 3, size=(20 + i, 30)) for i in range(5)]
RECORDS[3]["sem_seg_gt"].fill_(255)


@pytest.fixture(scope="module")
def alone():
    """The figures of an image that is evaluated alone."""
    results = [run([r], make_evaluator(absent_classes="nanmean")) for r in RECORDS]
    return dict(zip(map(str, range(5)), results, strict=True))


def rows_of(path):
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_row_has_the_figures_of_its_image(tmp_path, alone, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    slices = Slices({"night": [0, 4], "rain": [4]})
    run(RECORDS, make_evaluator(output_dir=tmp_path, image_table=kind, slices=slices))
    rows = rows_of(tmp_path / f"images.{kind}")
    assert len(rows) == 5 and rows[-1]["image_id"] == "3" and rows[-1]["mIoU"] in ("", None)
    values = [float(row["mIoU"]) for row in rows[:-1]]
    assert values == sorted(values)
    for row in rows[:-1]:
        expected = alone[row["image_id"]]
        for name in ("mIoU", "pACC", "mDice", *(f"IoU-{n}" for n in NAMES)):
            assert float(row[name]) == pytest.approx(expected[name])
    tags = {row["image_id"]: row["slices"] for row in rows}
    assert tags["4"] == "night;rain" and tags["0"] == "night" and not tags["1"]
    labelled = {row["image_id"]: int(row["labelled_pixels"]) for row in rows}
    assert labelled["3"] == 0
    assert labelled["1"] == int((RECORDS[1]["sem_seg_gt"] != 255).sum())


def test_worst_images_of_each_class(tmp_path, alone):
    run(RECORDS, make_evaluator(output_dir=tmp_path))
    worst = json.loads((tmp_path / "sem_seg_evaluation.json").read_text())["worst_images"]
    assert list(worst) == NAMES
    for name, images in worst.items():
        expected = sorted(
            (figures[f"IoU-{name}"], i)
            for i, figures in alone.items()
            if figures[f"IoU-{name}"] == figures[f"IoU-{name}"]
        )
        assert [x["image_id"] for x in images] == [i for _, i in expected]
        assert images[0]["IoU"] == pytest.approx(expected[0][0])
        assert images[0]["file_name"] == f"{images[0]['image_id']}.jpg"


def test_other_formats_are_refused():
    with pytest.raises(ConfigError, match=r"IMAGE_TABLE is 'xlsx'; expected 'csv', 'parquet'"):
        make_evaluator(image_table="xlsx")
