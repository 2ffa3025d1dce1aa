"""segsuite's operators compute the same as standard ONNX operators."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn
from torch.export import Dim

from segsuite.ops import batched_nms, multilevel_roi_align
from tests.exporting.engines import ENGINES, export_module

_SCALES = (1 / 4, 1 / 8, 1 / 16)


class Pooling(nn.Module):
    def __init__(self, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.options = sampling_ratio, aligned

    def forward(self, rois, *features):
        return multilevel_roi_align(features, rois, 3, _SCALES, *self.options)


class Suppression(nn.Module):
    def __init__(self, threshold: float, topk: int) -> None:
        super().__init__()
        self.options = threshold, topk

    def forward(self, boxes, scores, groups):
        return batched_nms(boxes, scores, groups, *self.options)


def features(size: int = 640) -> list[torch.Tensor]:
    return [torch.rand(2, 4, size // s, size // s + 3) for s in (4, 8, 16)]


def some_rois(count: int) -> torch.Tensor:
    """Of two images, of all sizes, some of them beyond the borders."""
    corners = torch.rand(count, 2) * 600 - 30
    sides = torch.rand(count, 2) ** 3 * 700
    image = torch.randint(2, (count, 1)).float()
    return torch.cat([image, corners, corners + sides], 1)


@pytest.fixture(scope="module", params=[(0, True), (2, True), (0, False)], ids=str)
def pooling(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("pooling") / "pooling.onnx"
    module = Pooling(*request.param)
    torch.manual_seed(0)
    export_module(module, (some_rois(9), *features()), ({0: Dim.DYNAMIC}, ({},) * 3), path)
    return module, path


ROIS = {
    "many": some_rois(150),
    "one": some_rois(1),
    "none": torch.zeros(0, 5),
    "empty": torch.tensor([[0.0, 0, 0, 0, 0], [1, 10, 10, 10, 20], [0, 5, 5, 30, 5]]),
    # As large as the sizes where a level ends, and one coarser and finer than all levels.
    "between levels": torch.tensor([[0.0, 0, 0, s, s] for s in (112, 224, 448, 111.9, 640, 1)]),
    "outside": torch.tensor([[0.0, -90, -90, -40, -40], [1, 600, 600, 900, 900]]),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_rois_are_pooled_from_their_levels(pooling, engine):
    module, path = pooling
    torch.manual_seed(1)
    maps = features()
    for name, rois in ROIS.items():
        (pooled,) = ENGINES[engine](path, (rois, *maps))
        torch.testing.assert_close(pooled, module(rois, *maps), atol=2e-5, rtol=0, msg=name)


def scored_boxes(images: int, count: int, *, ties: bool = False, valid: float = 1.0):
    """Overlapping boxes at whole pixels, so that IoUs are quotients of small numbers."""
    corners = torch.randint(0, 40, (images, count, 2)).float()
    boxes = torch.cat([corners, corners + torch.randint(1, 30, (images, count, 2))], 2)
    scores = torch.randn(images, count)
    if ties:
        scores = (2 * scores).round()
    scores[torch.rand(images, count) > valid] = -torch.inf
    return boxes, scores


@pytest.fixture(scope="module", params=["of all images", "of each image"])
def suppression(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("nms") / "nms.onnx"
    module = Suppression(0.5, 20)
    per_image = request.param == "of each image"
    torch.manual_seed(0)
    groups = torch.randint(3, (2, 30) if per_image else (30,))
    any_size = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    dynamic = (any_size, any_size, any_size if per_image else {0: Dim.DYNAMIC})
    export_module(module, (*scored_boxes(2, 30), groups), dynamic, path)
    return module, path, per_image


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_boxes_are_kept_in_the_same_order(suppression, engine):
    module, path, per_image = suppression
    torch.manual_seed(1)
    cases = [
        scored_boxes(2, 60),
        scored_boxes(3, 150, ties=True, valid=0.7),
        scored_boxes(2, 5, ties=True),  # fewer than are kept at most
        scored_boxes(2, 40, valid=0.0),
        scored_boxes(4, 12, ties=True, valid=0.3),
    ]
    for boxes, scores in cases:
        boxes[0, 3, 2], scores[-1, 2] = torch.nan, torch.nan
        groups = torch.randint(3, scores.shape if per_image else scores.shape[1:])
        expected = module(boxes, scores, groups)
        for got, want in zip(ENGINES[engine](path, (boxes, scores, groups)), expected, strict=True):
            assert got.dtype == want.dtype
            assert torch.equal(got, want)


@pytest.mark.parametrize("threshold", [0.6, 0.7])
def test_boxes_that_overlap_exactly_as_much_as_the_threshold(tmp_path, threshold):
    """float32 rounds 0.6 up and 0.7 down: the one is above the threshold, the other is not."""
    module, path = Suppression(threshold, 4), tmp_path / "nms.onnx"
    height = round(10 * threshold)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, height]]])
    inputs = boxes, torch.tensor([[2.0, 1.0]]), torch.zeros(2, dtype=torch.int64)
    export_module(module, inputs, None, path)
    expected = module(*inputs)
    for run in ENGINES.values():
        for got, want in zip(run(path, inputs), expected, strict=True):
            assert torch.equal(got, want)


def test_operators_are_standard_ones(pooling, suppression):
    operators = set()
    for _, path, *_ in (pooling, suppression):
        graph = onnx.load(path)
        assert {o.domain for o in graph.opset_import} <= {"", "ai.onnx"}
        operators |= {node.op_type for node in graph.graph.node}
    assert {"RoiAlign", "NonMaxSuppression"} <= operators
