"""Figures of slices: images found as people write them, and every figure of each tag."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from segsuite.errors import DataError, MissingFileError
from segsuite.evaluation import results_table, sem_seg_metrics
from segsuite.evaluation.bootstrap import iou_intervals
from segsuite.evaluation.slices import Slices, read_slices, slices_of

from .helpers import make_record
from .test_sem_seg import make_evaluator, run

IMAGES = ["data/a/001.jpg", "data/a/002.jpg", "data/b/003.png"]
RECORDS = [{"file_name": name, "image_id": name[5:-4]} for name in IMAGES]


def read(tmp_path, text, records=RECORDS, encoding="utf-8"):
    path = tmp_path / "tags.csv"
    path.write_bytes(text.encode(encoding))
    return read_slices(path, records, "streets").images


class TestFile:
    @pytest.mark.parametrize(
        "name",
        [
            "data/a/001.jpg",
            "a/001.jpg",
            "001.jpg",
            "001",
            "a/001",
            "A\\001.JPG",
            " ./a/001.jpg ",
            "001.png",
        ],
    )
    def test_an_image_is_found_by_what_it_is_called(self, tmp_path, name):
        assert read(tmp_path, f"image,tag\n{name},night\n") == {"night": ["a/001"]}

    def test_by_number(self, tmp_path):
        records = [{"file_name": f"images/{i:03d}.jpg", "image_id": i} for i in (7, 8)]
        images = read(tmp_path, "image_id,tag\n8,night\n007.jpg,day\n", records)
        assert images == {"night": [8], "day": [7]}

    def test_paths_of_another_machine(self, tmp_path, caplog):
        assert read(tmp_path, "image,tag\n/home/me/other/001.jpg,night\n") == {"night": ["a/001"]}
        assert "1 images are found by the end of their path alone" in caplog.text

    def test_rows_of_another_split_do_not_take_the_place(self, tmp_path, caplog):
        text = "image,tag\ntrain/001.jpg,day\ndata/a/001.jpg,night\n"
        assert read(tmp_path, text) == {"night": ["a/001"]}
        assert "1 of 2 rows are of no image of data set 'streets': train/001.jpg" in caplog.text

    @pytest.mark.parametrize(
        "text",
        [
            "image,tag\n001,night;rain\n002,rain\n",
            "image,tag\n001,night | rain\n002,rain\n",
            'image,tag\n001,"night, rain"\n002,rain\n',
            "image;tag\n001;night|rain\n002;rain\n",
            "image\ttag\n001\tnight;rain\n002\train\n",
            "001,night;rain\n002,rain\n",
            "001,night,rain\n002,rain\n",
            "image,tag\n001,night\n001,rain\n\n002,rain\n",
            "tag,file_name\nnight;rain,001.jpg\nrain,002.jpg\n",
            "\ufeffimage,tag\r\n001,night;rain\r\n002,rain\r\n",
        ],
    )
    def test_several_tags(self, tmp_path, text):
        assert read(tmp_path, text) == {"night": ["a/001"], "rain": ["a/001", "a/002"]}

    def test_several_columns(self, tmp_path):
        images = read(tmp_path, "image,weather,site\n001,rain,A\n002,dry,A\n003,,B\n")
        assert images == {
            "weather: rain": ["a/001"],
            "site: A": ["a/001", "a/002"],
            "weather: dry": ["a/002"],
            "site: B": ["b/003"],
        }

    def test_what_is_left_over_is_said(self, tmp_path, caplog):
        read(tmp_path, "image,tag\n001,night\n777.jpg,night\n")
        assert "1 of 2 rows are of no image of data set 'streets': 777.jpg" in caplog.text
        assert "2 of 3 images of data set 'streets' have no tag" in caplog.text

    def test_errors(self, tmp_path):
        with pytest.raises(DataError, match=r"no row has a tag.*names x\.jpg; .* 3 images, the"):
            read(tmp_path, "image,tag\nx.jpg,night\n")
        with pytest.raises(DataError, match="no column of tags"):
            read(tmp_path, "image\n001\n")
        with pytest.raises(DataError, match="is not a text in UTF-8"):
            read(tmp_path, "image,tag\n001,nächtlich\n", encoding="latin-1")
        twins = [{"file_name": f"{d}/0.png", "image_id": f"{d}/0"} for d in "ab"]
        with pytest.raises(DataError, match=r"'0\.png' may be any of 2 images, such as a/0, b/0"):
            read(tmp_path, "image,tag\n0.png,night\n", twins)
        with pytest.raises(MissingFileError, match=r"no file nowhere\.csv of slices .*--slices"):
            slices_of("nowhere.csv", "streets")
        assert slices_of("", "streets") is None


SEMANTIC = [make_record(i, 3, size=(20 + i, 30)) for i in range(6)]
SLICES = Slices({"night": [0, 2, 5], "rain": [1, 2], "nowhere": [77]})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of an evaluation, and its results."""
    folder = tmp_path_factory.mktemp("slices")
    options = {"slices": SLICES, "boundary_dilation_ratio": 0.1, "output_dir": folder}
    return folder, run(SEMANTIC, make_evaluator(**options))


class TestSemantic:
    def test_a_slice_has_the_figures_of_its_images_alone(self, written):
        _, results = written
        assert list(results["slices"]) == ["night", "rain"]
        for name, ids in list(SLICES.images.items())[:2]:
            alone = run([SEMANTIC[i] for i in ids], make_evaluator(boundary_dilation_ratio=0.1))
            of_slice = results["slices"][name]
            assert of_slice["images"] == len(ids)
            figures = {k: v for k, v in alone.items() if not isinstance(v, str)}
            assert of_slice["results"] == pytest.approx(figures)
            assert of_slice["intervals"].keys() == figures.keys()
            for figure, (low, high) in of_slice["intervals"].items():
                assert low <= figures[figure] <= high

    def test_intervals_are_those_of_the_bootstrap(self, written):
        folder, results = written
        saved = torch.load(folder / "image_counts.pt", weights_only=True)
        low, high = iou_intervals(saved["counts"][[0, 2, 5]])
        assert results["slices"]["night"]["intervals"]["mIoU"] == pytest.approx(
            [100 * low[0].item(), 100 * high[0].item()]
        )

    def test_files_and_table(self, written):
        folder, results = written
        content = json.loads((folder / "sem_seg_evaluation.json").read_text())
        assert content["slices"] == results["slices"] and "slices" not in content["results"]
        with open(folder / "slices_sem_seg.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        row = next(r for r in rows if (r["slice"], r["figure"]) == ("rain", "mIoU"))
        of_rain = results["slices"]["rain"]
        assert float(row["value"]) == of_rain["results"]["mIoU"] and row["images"] == "2"
        assert float(row["low_95"]) == of_rain["intervals"]["mIoU"][0]
        table = results_table({"sem_seg": results})
        assert max(map(len, table.splitlines())) <= 80
        line = next(line for line in table.splitlines() if line.startswith("  rain"))
        assert f"{of_rain['results']['mIoU']:.2f}" in line and " 2 " in line
        assert "IoU of" in table

    def test_without_files_there_are_slices_too(self):
        results = run(SEMANTIC, make_evaluator(slices=SLICES))
        assert results["slices"]["rain"]["images"] == 2


@pytest.mark.parametrize("rule", ["detectron2", "nanmean", "zero", "one"])
def test_absent_classes_by_numpy(rule):
    """Each rule written out with numpy, on counts where a class is absent in every way."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = rng.integers(0, 50, (5, 5)) * (rng.random((5, 5)) < 0.6)
        matrix[-1] = 0
        matrix[rng.integers(4)] = 0  # no pixel of the class
        if rng.random() < 0.5:
            gone = rng.integers(4)
            matrix[gone] = matrix[:, gone] = 0  # nor is it predicted
        right = np.diag(matrix)[:4].astype(float)
        labelled, predicted = matrix[:4].sum(1), matrix[:4, :4].sum(0)
        expected = {}
        for name, over, under in (
            ("iou", right, labelled + predicted - right),
            ("accuracy", right, labelled),
            ("dice", 2 * right, labelled + predicted),
        ):
            values = []
            for k in range(4):
                if labelled[k] == 0 and rule == "detectron2":
                    values.append(np.nan)
                elif under[k] == 0:
                    values.append({"nanmean": np.nan, "zero": 0.0, "one": 1.0}[rule])
                else:
                    values.append(over[k] / under[k])
            expected[name] = np.array(values)
        metrics = sem_seg_metrics(torch.from_numpy(matrix), absent_classes=rule)
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(metrics, name), values, rtol=0, atol=1e-15)
            mean = np.nanmean(values) if not np.isnan(values).all() else np.nan
            got = getattr(metrics, f"mean_{name}").item()
            np.testing.assert_allclose(got, mean, rtol=0, atol=1e-15)
