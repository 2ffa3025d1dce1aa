"""Models of instances go out whole: what a file finds is what PyTorch finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segsuite.errors import ConfigError, DataError
from segsuite.exporting.check import compare_with_pytorch, open_file
from segsuite.exporting.describe import describe
from tests.exporting.tiny_instances import (
    as_openvino,
    config,
    detecting,
    graph_of,
    random_record,
    written,
)

# Of the images, and of what is predicted: other than the example's 128 x 192.
_RECORDS = [
    random_record((64, 96), 1),
    random_record((50, 71), 2, (100, 130)),
    random_record((33, 40), 3, (20, 24)),
    random_record((128, 160), 4, (97, 200)),
]


# A level of the pyramid that is one pixel high or wide is not for a .pt2 of any size.
_LARGER_RECORDS = [
    random_record((96, 128), 1),
    random_record((80, 71), 2, (100, 130)),
    random_record((66, 100), 3, (20, 24)),
    random_record((128, 160), 4, (97, 200)),
]


def largest(graph, path: Path, records=_RECORDS) -> dict[str, float]:
    return {d.what: d.value for d in compare_with_pytorch(graph, path, records)}


def check_equal(differences: dict[str, float]) -> None:
    assert differences.pop("share of instances that only one has") == 0
    assert differences.pop("scores", 0) <= 1e-5
    assert all(value <= 1e-3 for value in differences.values()), differences


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Of two images of 64 x 96 pixels."""
    return written(tmp_path_factory.mktemp("fixed"), config("FPN"), batch=2, size=(64, 96))


def test_each_image_of_a_batch_has_what_pytorch_finds(fixed):
    graph, path = fixed
    records = [random_record((64, 96), seed, (80, 90)) for seed in (1, 2)]
    outputs = open_file(path)({"images": torch.stack([r["image"] for r in records])})
    assert list(outputs) == ["boxes", "scores", "classes", "masks", "count"]
    places = graph.predictor.topk
    for i, record in enumerate(records):
        of_image = {name: output[i : i + 1] for name, output in outputs.items()}
        reference = graph.reference(record)
        check_equal({d.what: d.value for d in graph.compare(of_image, reference)})
        count = int(of_image["count"])
        assert 0 < count == len(reference["instances"]) < places
        for name in ("boxes", "scores", "classes", "masks"):
            assert of_image[name].shape[1] == places
            assert not of_image[name][0, count:].any()
        scores = of_image["scores"][0]
        assert torch.equal(scores, scores.sort(descending=True).values)


@pytest.mark.parametrize(
    "kind, model, options, named",
    [
        ("FPN", {"MODEL__MASK_ON": False}, {"pasted": True}, "MASK_ON"),
        ("FPN", {}, {"bare": True}, "bare"),
        ("FPN", {}, {"logits": True}, "logits"),
        ("panoptic", {"MODEL__PANOPTIC_FPN__COMBINE__ENABLED": False}, {}, "COMBINE.ENABLED"),
    ],
)
def test_options_that_a_model_does_not_have(kind, model, options, named):
    with pytest.raises(ConfigError, match=named):
        graph_of(config(kind, **model), **options)


def test_metadata_names_the_classes_of_things():
    cfg = config("FPN", MODEL__ROI_MASK_HEAD__WHOLE_PIXEL_MASKS=True)
    model = detecting(cfg)
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN = ()
    metadata = describe(cfg, model, graph_of(cfg, model), "")
    assert metadata.task == "instances"
    assert metadata.classes == ["class 0", "class 1", "class 2"]
    assert metadata.whole_pixel_masks
    assert metadata.inputs == ["images"]


_AGNOSTIC = {
    "MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG": True,
    "MODEL__ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True,
}
_OF_TORCHVISION = {
    "MODEL__ROI_MASK_HEAD__WHOLE_PIXEL_MASKS": True,
    "MODEL__ANCHOR_GENERATOR__NAME": "TorchvisionAnchorGenerator",
}
_SLOW = {
    "FPN": ("FPN", {}, {}),
    "C4": ("C4", {}, {}),
    "DC5": ("DilatedC5", {}, {}),
    "cascade": ("cascade", {}, {}),
    "pasted": ("FPN", {}, {"pasted": True}),
    "no masks": ("FPN", {"MODEL__MASK_ON": False}, {}),
    "class-agnostic": ("FPN", _AGNOSTIC, {}),
    "of torchvision": ("FPN", _OF_TORCHVISION, {"pasted": True}),
    "no detections": ("FPN", {"MODEL__ROI_HEADS__SCORE_THRESH_TEST": 0.9999}, {"pasted": True}),
    "one detection": ("FPN", {"TEST__DETECTIONS_PER_IMAGE": 1}, {}),
    "all places taken": ("FPN", {"TEST__DETECTIONS_PER_IMAGE": 10}, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _SLOW)
def test_families_find_what_pytorch_finds(tmp_path, name):
    kind, model_options, options = _SLOW[name]
    cfg = config(kind, **model_options)
    graph, path = written(tmp_path, cfg, **options)
    found = [len(graph.reference(record)["instances"]) for record in _RECORDS]
    assert (max(found) == 0) == (name == "no detections")
    if name in ("one detection", "all places taken"):
        assert found == [graph.predictor.topk] * len(found)
    for file in (path, as_openvino(path)):
        check_equal(largest(graph, file))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kind", ["FPN", "C4", "cascade"])
def test_a_pt2_finds_what_pytorch_finds(tmp_path, kind, precision):
    graph, path = written(tmp_path, config(kind), format="torch_export", precision=precision)
    differences = largest(graph, path, _LARGER_RECORDS)  # within the bounds of the precision
    if precision == "float32":
        check_equal(differences)
    if kind != "C4":  # no pyramid
        with pytest.raises(DataError, match=r"a height of at least 65 pixels .* but got 64"):
            largest(graph, path, [random_record((64, 96), 1)])


@pytest.mark.slow
def test_equal_scores_come_in_the_order_of_pytorch(tmp_path):
    """All boxes of all classes have the same score."""
    cfg = config("FPN")
    model = detecting(cfg)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.zero_()
    graph, path = written(tmp_path, cfg, model, batch=1, size=(64, 96))
    check_equal(largest(graph, path, [random_record((64, 96), seed) for seed in (1, 2)]))
