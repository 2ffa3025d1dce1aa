"""The images that a file is checked with are those that it will be given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.data import ImageReader, InferenceMapper, get_records
from segsuite.errors import DataError, UnknownNameError
from segsuite.exporting.describe import describe
from segsuite.exporting.images import check_records, image_records
from segsuite.runtime import Engine, ExportedModel
from tests.exporting.tiny_instances import config, detecting, graph_of

_DATASET = "shapes_val"


class _Recording(Engine):
    """Keeps the inputs of a graph that finds nothing."""

    name = "nothing"
    inputs: dict[str, np.ndarray]

    def run(self, inputs):
        self.inputs = dict(inputs)
        shapes = {"boxes": (1, 1, 4), "scores": (1, 1), "classes": (1, 1), "count": (1,)}
        return {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def model():
    cfg = config("FPN", MODEL__MASK_ON=False, INPUT__MIN_SIZE_TEST=60, INPUT__MAX_SIZE_TEST=120)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    return cfg, detecting(cfg)


@pytest.mark.parametrize("size", [None, (64, 200), (200, 64), (40, 48), (300, 300)])
def test_the_check_gives_a_graph_what_the_runtime_gives_it(model, size):
    cfg, network = model
    graph = graph_of(cfg, network, size=size)
    metadata = describe(cfg, network, graph, "")
    records = check_records(cfg, 3, metadata)
    engine = _Recording(Path("a.onnx"), metadata)
    predictor, read = ExportedModel(engine), ImageReader(cfg).read
    every = get_records(_DATASET)
    files = [every[i * (len(every) // 3)]["file_name"] for i in range(3)]
    # Where any size will do, the last image is cut to an odd one.
    for file, record in zip(files, records[: 3 if size else 2], strict=False):
        image = read(file)
        prepared = InferenceMapper(cfg)(image)
        predictor.predict(prepared["image"].numpy(), image.shape[:2])
        assert np.array_equal(engine.inputs["images"][0], record["image"].numpy())
        assert record["image"].shape[1:] == (size or prepared["image"].shape[1:])


def test_an_image_in_a_fixed_size_keeps_its_proportions(model):
    cfg, network = model
    graph = graph_of(cfg, network, size=(64, 200))
    (record,) = check_records(cfg, 1, describe(cfg, network, graph, ""))
    (first, *_) = get_records(_DATASET)
    image = InferenceMapper(cfg)(ImageReader(cfg).read(first["file_name"]))["image"]
    _, height, width = image.shape
    assert torch.equal(record["image"][:, :height, :width], image)
    mean = torch.tensor(cfg.MODEL.PIXEL_MEAN).round().to(torch.uint8)[:, None]
    assert (record["image"][:, height:].flatten(1) == mean).all()
    assert (record["image"][:, :, width:].flatten(1) == mean).all()


@pytest.fixture(scope="module")
def described(model):
    cfg, network = model
    return cfg, describe(cfg, network, graph_of(cfg, network), "")


def test_images_of_a_folder_need_no_labels(described, tmp_path):
    for i in range(10):
        path = tmp_path / f"{i % 2}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((60, 60, 3) if i % 3 else (60, 60), i, np.uint8)).save(path)
    (tmp_path / "notes.txt").write_text("no image")
    values = [
        [int(r["image"].max()) for r in image_records(described[0], tmp_path, n, described[1])]
        for n in (1, 3, 5, 10, 32)
    ]
    everything = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]  # a folder after the other
    assert values == [[0], [0, 6, 3], everything[::2], everything, everything]


@pytest.mark.parametrize(
    "source, error, named",
    [
        ("shapes_vl", UnknownNameError, "'shapes_val'.*Nor is there a folder 'shapes_vl'"),
        ("{}/missing", UnknownNameError, "missing"),
        ("{}", DataError, r"has no images: expected files that end in \.jpg"),
    ],
)
def test_what_has_no_images_is_refused_at_once(described, tmp_path, source, error, named):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(error, match=named):
        image_records(described[0], source.format(tmp_path), 3, described[1])


def test_a_damaged_image_is_named(described, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        list(image_records(described[0], tmp_path, 3, described[1]))
