"""Masks are pasted and merged in graphs as they are in PyTorch's models."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from segsuite.exporting.graphs.merging import merge_stuff, merge_things, segment_rows
from segsuite.exporting.graphs.pasting import pasted, pasting_weights
from segsuite.modeling.panoptic_merging import merge_panoptic
from segsuite.structures import Instances, ROIMasks
from tests.exporting.engines import ENGINES, export_module

_NUM_CLASSES = 5
_OPTIONS = {"overlap_threshold": 0.5, "score_threshold": 0.4}
_AREA_LIMIT = 90


class Merging(nn.Module):
    """Pastes and merges what is given; `outputs` names what it returns."""

    def forward(self, boxes, probabilities, scores, classes, labels):
        height, width = labels.shape[1:]
        rows, columns = pasting_weights(boxes, probabilities.shape[-1], height, width)
        ids, things = merge_things(scores, probabilities, rows, columns, **_OPTIONS)
        ids, stuff, areas = merge_stuff(
            ids, things.sum(1), labels, _NUM_CLASSES, area_limit=_AREA_LIMIT
        )
        segments, counts = segment_rows((things, classes, scores), (stuff, areas))
        return ids, segments, counts, pasted(probabilities, rows, columns)


def predictions(images: int, height: int, width: int, *, best: float = 1.0, count: int = 12):
    size = torch.tensor([width, height])
    corners = torch.rand(images, count, 2) * size * 0.7
    boxes = torch.cat([corners, corners + torch.rand(images, count, 2) * size * 0.3 + 1], 2)
    probabilities = F.interpolate(torch.rand(images, count, 4, 4), 14, mode="bilinear")
    scores = (torch.rand(images, count) * best).sort(1, descending=True).values
    classes = torch.randint(3, (images, count))
    labels = torch.randint(_NUM_CLASSES, (images, height // 9 + 1, width // 9 + 1))
    labels = labels.repeat_interleave(9, 1).repeat_interleave(9, 2)[:, :height, :width]
    return boxes, probabilities, scores, classes, labels.contiguous()


def expected(image: int, boxes, probabilities, scores, classes, labels):
    masks = ROIMasks(probabilities[image], boxes[image], tuple(labels.shape[1:]))
    instances = Instances(
        masks.image_size, scores=scores[image], pred_classes=classes[image], pred_masks=masks
    )
    ids, segments = merge_panoptic(
        instances, labels[image], _NUM_CLASSES, stuff_area_limit=_AREA_LIMIT, **_OPTIONS
    )
    return ids, segments, masks.tensor


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("merging") / "merging.onnx"
    images, sizes = {0: Dim.DYNAMIC}, {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    torch.manual_seed(0)
    export_module(Merging(), predictions(2, 40, 60), (images,) * 4 + (sizes,), path)
    return path


def run_pytorch(path, inputs):
    with torch.no_grad():
        return cast("tuple", Merging()(*inputs))


@pytest.mark.parametrize("engine", ["pytorch", *ENGINES])
def test_segments_are_those_of_merge_panoptic(path, engine):
    run = ENGINES.get(engine, run_pytorch)
    torch.manual_seed(1)
    cases = {
        "two images": predictions(2, 40, 60),
        "another number and size": predictions(3, 53, 37),
        "one image": predictions(1, 61, 45),
        "nothing above the threshold": predictions(2, 30, 30, best=0.3),
    }
    equal = predictions(2, 44, 44)
    equal[2].fill_(0.75)
    cases["equal scores"] = equal
    for name, inputs in cases.items():
        all_ids, rows, counts, masks = run(path, inputs)
        for image, ids in enumerate(all_ids):
            want_ids, want_segments, want_masks = expected(image, *inputs)
            assert torch.equal(ids, want_ids), name
            assert torch.equal(masks[image], want_masks), name
            assert int(counts[image]) == len(want_segments), name
            assert not rows[image, len(want_segments) :].any(), name
            for row, segment in zip(rows[image].tolist(), want_segments, strict=False):
                category, is_thing, score, area, instance = row
                assert (category, bool(is_thing)) == (segment["category_id"], segment["isthing"])
                assert score == pytest.approx(segment.get("score", 0))
                assert area == segment.get("area", 0)
                assert instance == segment.get("instance_id", -1)
