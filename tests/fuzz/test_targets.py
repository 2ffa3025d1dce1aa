from __future__ import annotations

import io
import json
import math
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.checkpoint.load_state import load_state
from segsuite.config import load_config
from segsuite.data import read_image, read_sem_seg
from segsuite.data.datasets import load_coco_json, load_coco_panoptic
from segsuite.errors import UserError
from segsuite.evaluation.coco_files import COCOGroundTruth
from segsuite.evaluation.coco_results import read_coco_results
from segsuite.ops import EXTENSION_LOADED
from segsuite.structures.rle import decode_masks, to_rle

from .strategies import NUMBERS, VALUES, changed, damaged

fuzzed = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
HEIGHT, WIDTH = 12, 16

IMAGES = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)]
POLYGON = [2.0, 2.0, 9.0, 2.0, 9.0, 8.0, 2.0, 8.0]
COUNTS = [20, 5, 7, 6, HEIGHT * WIDTH - 38]
INSTANCES = {
    "images": IMAGES,
    "categories": [{"id": 3, "name": "boat"}, {"id": 7, "name": "buoy"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 3,
            "bbox": [2.0, 2.0, 7.0, 6.0],
            "area": 42.0,
            "iscrowd": 0,
            "segmentation": [POLYGON, [1, 1, 4, 1, 4, 4]],
        },
        {
            "id": 2,
            "image_id": 2,
            "category_id": 7,
            "bbox": [1, 1, 3, 3],
            "iscrowd": 1,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": COUNTS},
        },
    ],
}
PANOPTIC = {
    "images": IMAGES,
    "categories": [
        {"id": 1, "name": "sea", "isthing": 0, "color": [0, 0, 99]},
        {"id": 2, "name": "boat", "isthing": 1},
    ],
    "annotations": [
        {
            "image_id": image["id"],
            "file_name": image["file_name"],
            "segments_info": [
                {"id": 5, "category_id": 1, "iscrowd": 0, "area": 9, "bbox": [0, 0, 3, 3]},
                {"id": 6, "category_id": 2, "iscrowd": 0, "area": 9, "bbox": [3, 3, 3, 3]},
            ],
        }
        for image in IMAGES
    ],
}
RESULTS = [
    {
        "image_id": 1,
        "category_id": 3,
        "bbox": [2.0, 2.0, 7.0, 6.0],
        "score": 0.5,
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": "d02:0O11"},
    },
    {
        "image_id": 2,
        "category_id": 7,
        "bbox": [1.0, 1.0, 3.0, 3.0],
        "score": 1,
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": COUNTS},
    },
]
CONFIG = {
    "MODEL": {"PIXEL_MEAN": [1.0, 2.0, 3.0], "SEM_SEG_HEAD": {"NAME": "FCNHead", "NUM_CLASSES": 2}},
    "DATASETS": {
        "TRAIN": ["a"],
        "REGISTER": {"a": {"IMAGES": "i", "LABELS": "l", "CLASSES": ["x"]}},
    },
    "SOLVER": {"STEPS": [1, 2], "BASE_LR": 0.1},
    "INPUT": {"CROP": {"SIZE": [24, 24]}},
}


class Folder:
    """A new folder with the images of `IMAGES`."""

    def __enter__(self) -> Path:
        self._folder = TemporaryDirectory()
        path = Path(self._folder.name)
        for image in IMAGES:
            (path / image["file_name"]).write_bytes(image_bytes("PNG", "RGB"))
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


@cache
def image_bytes(format: str, mode: str) -> bytes:
    pixels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 5
    image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


@cache
def checkpoint_bytes() -> bytes:
    file = io.BytesIO()
    torch.save({"model": {"weight": torch.arange(6.0).reshape(2, 3)}, "iteration": 3}, file)
    return file.getvalue()


@fuzzed
@given(changed(INSTANCES))
def test_coco_instances(document):
    with Folder() as folder, suppress(UserError):
        file = folder / "instances.json"
        file.write_text(json.dumps(document))
        for record in load_coco_json(file, folder):
            assert record["height"] > 0 and record["width"] > 0
            for annotation in record.get("annotations", []):
                assert all(map(math.isfinite, annotation["bbox"]))
                assert annotation["category_id"] >= 0
                if "segmentation" in annotation:
                    to_rle(annotation["segmentation"], record["height"], record["width"])


@fuzzed
@given(changed(PANOPTIC))
def test_coco_panoptic(document):
    with Folder() as folder, suppress(UserError):
        file = folder / "panoptic.json"
        file.write_text(json.dumps(document))
        load_coco_panoptic(file, folder, folder)


@fuzzed
@given(changed(RESULTS))
def test_coco_results(document):
    with Folder() as folder, suppress(UserError):
        (folder / "instances.json").write_text(json.dumps(INSTANCES))
        truth = COCOGroundTruth.read(folder / "instances.json")
        (folder / "results.json").write_text(json.dumps(document))
        read_coco_results(folder / "results.json", truth.index)


@fuzzed
@given(damaged(json.dumps(INSTANCES).encode()))
def test_bytes_of_json(content):
    with Folder() as folder, suppress(UserError):
        (folder / "instances.json").write_bytes(content)
        load_coco_json(folder / "instances.json", folder)


@fuzzed
@given(
    st.one_of(st.binary(max_size=20), st.text(max_size=20), st.lists(NUMBERS, max_size=8), VALUES),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_run_lengths(counts, size):
    with suppress(UserError):
        rle = to_rle({"size": list(size), "counts": counts}, *size)
        assert decode_masks([rle], *size).shape == (1, *size)


@fuzzed
@given(
    st.lists(st.lists(NUMBERS, max_size=12), max_size=3),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_polygons(polygons, size):
    with suppress(UserError):
        assert decode_masks([to_rle(polygons, *size)], *size).shape == (1, *size)


@fuzzed
@given(damaged(checkpoint_bytes()), st.sampled_from([".pth", ".pkl", ".safetensors"]))
def test_checkpoint(content, suffix):
    with TemporaryDirectory() as folder, suppress(UserError):
        file = Path(folder, f"weights{suffix}")
        file.write_bytes(content)
        load_state(file)


@fuzzed
@given(changed(CONFIG))
def test_configuration(document):
    with TemporaryDirectory() as folder, suppress(UserError):
        file = Path(folder, "config.yaml")
        file.write_text(yaml.safe_dump(document), encoding="utf-8", errors="surrogatepass")
        load_config(file)


@fuzzed
@given(damaged(yaml.safe_dump(CONFIG).encode()))
def test_bytes_of_yaml(content):
    with TemporaryDirectory() as folder, suppress(UserError):
        file = Path(folder, "config.yaml")
        file.write_bytes(content)
        load_config(file)


@fuzzed
@given(
    st.sampled_from([("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "L"), ("GIF", "P")])
    .map(lambda kind: image_bytes(*kind))
    .flatmap(damaged),
    st.sampled_from([".png", ".jpg", ".tif", ".npy"]),
)
def test_image_file(content, suffix):
    with TemporaryDirectory() as folder:
        file = Path(folder, f"image{suffix}")
        file.write_bytes(content)
        with suppress(UserError):
            assert read_image(file).dtype == np.uint8
        with suppress(UserError):
            assert read_sem_seg(file).ndim == 2


TYPES = [torch.uint8, torch.int16, torch.int64, torch.bool, torch.float16, torch.float32]
SIZES = st.lists(st.integers(0, 5), min_size=0, max_size=5)
INTEGERS = st.one_of(st.integers(-3, 40), st.sampled_from([-(2**63), 2**31, 2**62, 2**63 - 1]))


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    tensor = torch.zeros(draw(SIZES), dtype=draw(st.sampled_from(TYPES)))
    if tensor.numel() and tensor.dtype not in (torch.bool, torch.uint8):
        tensor += draw(st.integers(-2, 4))
    if tensor.dim() > 1 and draw(st.booleans()):
        tensor = tensor.transpose(0, -1)
    return tensor


@pytest.mark.skipif(not EXTENSION_LOADED, reason="the extension is not built")
@fuzzed
@given(st.data())
def test_raw_operators(data):
    def arguments(*kinds: st.SearchStrategy) -> list:
        return [data.draw(kind) for kind in kinds]

    tensor, numbers = tensors(), st.floats()
    some = st.one_of(st.none(), numbers)
    kinds = {
        "confusion_matrix": (tensor, tensor, INTEGERS, INTEGERS, tensor),
        "confusion_matrix_from_logits": (tensor, tensor, INTEGERS, some, some, tensor),
        "argmax_from_logits": (tensor, st.integers(-3, 40), st.integers(-3, 40), some, some),
        "batched_nms": (tensor, tensor, st.one_of(st.none(), tensor), numbers, INTEGERS),
        "resize_window": (tensor, *[INTEGERS] * 4, *[st.integers(-3, 40)] * 2),
        "roi_align": (tensor, tensor, *[st.integers(-3, 9)] * 2, numbers, INTEGERS, st.booleans()),
        "multilevel_roi_align": (
            st.lists(tensor, max_size=3),
            tensor,
            *[st.integers(-3, 9)] * 2,
            st.lists(numbers, max_size=3),
            INTEGERS,
            st.booleans(),
            INTEGERS,
            INTEGERS,
        ),
    }
    name = data.draw(st.sampled_from(sorted(kinds)))
    with suppress(RuntimeError):
        getattr(torch.ops.segsuite, name)(*arguments(*kinds[name]))
