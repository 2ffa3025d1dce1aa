"""A small COCO world whose values tests make odd, and what each reader of it says."""

from __future__ import annotations

import copy
import json
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from segsuite.data import DatasetCatalog, MetadataCatalog, register_coco_instances
from segsuite.data.checks import check_instance_dataset, examine_datasets, write_fixed_copy
from segsuite.data.datasets import coco_faults
from segsuite.errors import UserError
from segsuite.evaluation.coco import COCOEvaluator

HEIGHT, WIDTH = 72, 100
POLYGONS = [[8, 12, 40, 10, 46, 50, 20, 60], [55, 20, 90, 26, 84, 64, 58, 58]]
NAME = "odd_world"
ENGINES = ["pycocotools"]
ENGINES += ["faster_coco_eval"] if find_spec("faster_coco_eval") else []
ENGINES += ["hotcoco"] if find_spec("hotcoco") else []


def box_of(polygon: list[float]) -> list[float]:
    x, y = polygon[::2], polygon[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def rle_of(polygon: list[float], height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    rle = coco_mask.merge(coco_mask.frPyObjects([polygon], height, width))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def make_content() -> dict[str, Any]:
    """An image with a boat (annotation 1) and a buoy (annotation 2)."""
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "boat"}, {"id": 2, "name": "buoy"}],
        "annotations": [
            {
                "id": k + 1,
                "image_id": 1,
                "category_id": k + 1,
                "bbox": box_of(polygon),
                "iscrowd": 0,
                "area": float(coco_mask.area(rle_of(polygon))),
                "segmentation": [polygon],
            }
            for k, polygon in enumerate(POLYGONS)
        ],
    }


def make_results() -> list[dict[str, Any]]:
    """Its objects as detections."""
    return [
        {
            "image_id": 1,
            "category_id": k + 1,
            "score": 0.8,
            "bbox": box_of(polygon),
            "segmentation": rle_of(polygon),
        }
        for k, polygon in enumerate(POLYGONS)
    ]


class World:
    """A folder with images, a JSON file and results, and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.json_file, self.results_file = folder / "gt.json", folder / "results.json"
        pixels = np.random.default_rng(0).integers(0, 200, (HEIGHT, WIDTH, 3), np.uint8)
        for name in ("a.png", "sub/b.png", "c d.png"):
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)

    def write(self, content: Any, results: Any = None) -> None:
        self.json_file.write_text(json.dumps(content))
        self.results_file.write_text(json.dumps(make_results() if results is None else results))
        # Files that are written within a tick of the clock are told apart by their times.
        World._ticks += 1
        os.utime(self.json_file, ns=(World._ticks * 10**9, World._ticks * 10**9))

    _ticks = 1_600_000_000

    def register(self, name: str = NAME, json_file: Path | None = None) -> None:
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
        coco_faults.warn_once.cache_clear()
        register_coco_instances(name, {}, json_file or self.json_file, self.folder / "images")

    def train(self) -> list[dict[str, Any]] | str:
        """The annotations of all records, or the message that they are refused with."""
        self.register()
        try:
            check_instance_dataset(NAME, num_classes=2)
        except UserError as e:
            return str(e)
        return [a for record in DatasetCatalog.get(NAME) for a in record["annotations"]]

    def evaluate(self, engine: str) -> dict[str, dict[str, float]] | str:
        """All figures, or the message that they are refused with."""
        self.register()
        try:
            evaluator = COCOEvaluator(
                dataset_name=NAME, json_file=str(self.json_file), engine=engine
            )
            return evaluator.evaluate_file(str(self.results_file))
        except UserError as e:
            return str(e)

    def examine(self) -> set[tuple[str, str]]:
        """(severity, kind) of the doctor's findings."""
        self.register()
        findings = examine_datasets([NAME]).to_dict()["findings"]
        return {(finding["severity"], finding["kind"]) for finding in findings}

    def fix(self) -> list[dict[str, Any]]:
        """The annotations of a fixed copy, which has to be read without a word."""
        self.register()
        output = self.folder / f"fixed{World._ticks}"
        write_fixed_copy(NAME, output)
        World._ticks += 1
        self.register(NAME, output / "annotations.json")
        with Silence():
            return [a for record in DatasetCatalog.get(NAME) for a in record["annotations"]]


class Silence(logging.Handler):
    """Holds that nothing is logged by the package."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def __enter__(self) -> Silence:
        logging.getLogger("segsuite").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("segsuite").removeHandler(self)
        assert error[0] is not None or not self.said, self.said


def changed(key: str, value: Any, which: str = "annotations") -> dict[str, Any]:
    """The content with a value of the first entry of a list; `MISSING` takes the key away."""
    content = copy.deepcopy(make_content())
    content[which][0][key] = value
    if value is MISSING:
        del content[which][0][key]
    return content


MISSING = object()
