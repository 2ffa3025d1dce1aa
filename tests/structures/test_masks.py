from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.structures import BitMasks, Boxes, Instances, PolygonMasks, pairwise_iou
from tests.helpers import SHARED, requires_parity
from tests.parity import ParityCase

TRIANGLE = [10.0, 10.0, 30.0, 10.0, 10.0, 40.0]
SQUARES = [[40.0, 5.0, 48.0, 5.0, 48.0, 13.0, 40.0, 13.0], [0.5, 50, 4.5, 50, 4.5, 54, 0.5, 54]]
SIZE = (60, 50)


def polygon_masks() -> PolygonMasks:
    return PolygonMasks([[TRIANGLE], SQUARES])


def bit_masks() -> BitMasks:
    return BitMasks.from_polygon_masks(polygon_masks(), *SIZE)


@pytest.mark.parametrize("make", [polygon_masks, bit_masks])
class TestMasks:
    """What both kinds of masks promise."""

    def test_choosing(self, make):
        masks = make()
        full = masks.area()
        chosen = [(0, [0]), (-1, [1]), (slice(1, None), [1]), (slice(0, 0), []), ([1, 0], [1, 0])]
        for index, want in chosen:
            assert masks[index].area().tolist() == full[want].tolist()
        for index in ([True, False], [False, False]):
            assert masks[torch.tensor(index)].area().tolist() == full[torch.tensor(index)].tolist()
        assert masks[torch.tensor([1])].area().tolist() == [full[1]]
        assert type(masks[0]) is type(masks) and len(list(masks)) == 2

    def test_of_another_number_of_objects(self, make):
        with pytest.raises(IndexError):
            make()[torch.tensor([True, False, True])]
        with pytest.raises(ValueError, match="one box for each mask"):
            make().crop_and_resize(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 7)

    def test_joining(self, make):
        masks = make()
        joined = type(masks).cat([masks, masks[:1]])
        assert joined.area().tolist() == masks.area()[[0, 1, 0]].tolist()
        with pytest.raises(ValueError, match="at least one"):
            type(masks).cat([])

    def test_boxes(self, make):
        boxes = make().get_bounding_boxes().tensor
        assert boxes.dtype == torch.float32
        want = torch.tensor([[10.0, 10, 30, 40], [0.5, 5, 48, 54]])
        assert (boxes - want).abs().max() <= 1

    def test_none(self, make):
        masks = make()[:0]
        assert len(masks) == 0
        assert masks.area().shape == masks.nonempty().shape == (0,)
        assert masks.get_bounding_boxes().tensor.shape == (0, 4)
        assert masks.crop_and_resize(torch.zeros(0, 4), 28).shape == (0, 28, 28)

    def test_fields_of_instances_that_workers_send(self, make):
        instances = pickle.loads(pickle.dumps(Instances(SIZE, gt_masks=make())))
        assert len(instances[torch.tensor([1])].gt_masks) == 1
        assert instances.to("cpu").gt_masks.area().tolist() == make().area().tolist()
        assert str(instances.gt_masks).startswith(type(make()).__name__)

    def test_targets_are_the_pixels_where_the_box_is_on_the_grid(self, make):
        masks = make()
        full = bit_masks().tensor
        boxes = torch.tensor([[8.0, 8.0, 36.0, 36.0], [36.0, 2.0, 50.0, 16.0]])
        targets = masks.crop_and_resize(boxes, 28)
        assert targets.dtype == torch.bool and targets.shape == (2, 28, 28)
        assert torch.equal(targets[0], full[0, 8:36, 8:36])
        doubled = full[1, 2:16, 36:50].repeat_interleave(2, 0).repeat_interleave(2, 1)
        assert torch.equal(targets[1], doubled)

    def test_several_boxes_of_a_mask(self, make, monkeypatch):
        """In any order, and where masks are looked at one after another too."""
        masks, objects = make(), torch.tensor([1, 0, 1, 1])
        boxes = torch.tensor([[8.0, 8, 36, 36], [0, 0, 14, 20], [3, 5, 50, 60], [9, 9, 10, 10]])
        want = masks[objects].crop_and_resize(boxes, 14)
        assert torch.equal(masks.crop_and_resize(boxes, 14, objects), want)
        monkeypatch.setattr("segsuite.structures.masks._CHUNK", 1)
        assert torch.equal(masks.crop_and_resize(boxes, 14, objects), want)
        with pytest.raises(ValueError, match=r"\(4, 4\) for 3 masks"):
            masks.crop_and_resize(boxes, 14, objects[:3])


@given(
    st.lists(
        st.lists(st.integers(-40, 300), min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0),
        min_size=1,
        max_size=3,
    ),
    st.tuples(st.integers(-20, 200), st.integers(-20, 200), st.integers(1, 90), st.integers(1, 90)),
)
def test_polygon_targets_follow_the_definition(polygons, box):
    x, y, w, h = (np.float32(v / 2) for v in box)
    boxes = torch.tensor([[x, y, x + w, y + h]])
    moved = [
        (np.array(p, float).reshape(-1, 2) - [x, y]) * np.float32([14 / w, 14 / h])
        for p in polygons
    ]
    rles = coco_mask.frPyObjects([p.ravel() for p in moved], 14, 14)
    want = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
    assert np.array_equal(PolygonMasks([polygons]).crop_and_resize(boxes, 14)[0].numpy(), want)


def test_bit_mask_boxes_enclose_the_pixels():
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 2, 3] = True
    masks[1, 0, 0] = masks[1, 4, 6] = True
    masks = BitMasks(masks)
    assert masks.get_bounding_boxes().tensor.tolist() == [[3, 2, 4, 3], [0, 0, 7, 5], [0, 0, 0, 0]]
    assert masks.nonempty().tolist() == [True, True, False]
    assert masks.image_size == (5, 7)


def test_bit_mask_targets_in_chunks(monkeypatch):
    masks, boxes = BitMasks(torch.rand(5, 20, 30) > 0.5), torch.rand(5, 4) * 10
    boxes[:, 2:] += boxes[:, :2] + 2
    want = masks.crop_and_resize(boxes, 14)
    monkeypatch.setattr("segsuite.structures.masks._CHUNK", 2 * 20 * 30)
    assert torch.equal(masks.crop_and_resize(boxes, 14), want)


def test_area_and_boxes_of_polygons():
    masks = PolygonMasks([[TRIANGLE], SQUARES, []])
    assert masks.area().tolist() == [300, 64 + 16, 0]
    assert masks.nonempty().tolist() == [True, True, False]
    assert masks.get_bounding_boxes().tensor[2].tolist() == [0, 0, 0, 0]
    assert not masks[2].crop_and_resize(torch.tensor([[0.0, 0, 9, 9]]), 7).any()


def test_bad_polygons():
    with pytest.raises(ValueError, match="object 1: polygon 0 has 4 values"):
        PolygonMasks([[TRIANGLE], [[0, 0, 1, 1]]])
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        BitMasks(torch.zeros(3, 4))


@requires_parity
@pytest.mark.parametrize("number", [0, 1])
def test_targets_equal_detectron2s(number):
    """Of the foreground proposals that Detectron2 sampled, each matched to the best object."""
    case = ParityCase.load("d2_mask_rcnn_R_50_FPN_1x_train")
    about = case.about["inputs"][number]
    coco = json.loads((SHARED / about["annotations"]).read_text())
    file_name = about["image"].rpartition("/")[2]
    image = next(image for image in coco["images"] if image["file_name"] == file_name)
    scale = np.array(about["resized_to"][::-1]) / [image["width"], image["height"]]
    masks = PolygonMasks(
        [
            [(np.array(p).reshape(-1, 2) * scale).ravel() for p in a["segmentation"]]
            for a in coco["annotations"]
            if a["image_id"] == image["id"] and not a["iscrowd"]
        ]
    )
    arrays = {name: case.arrays[f"img{number}.{name}"] for name in ("gt_boxes", "fg.boxes")}
    gt_boxes, boxes = (torch.from_numpy(array) for array in arrays.values())
    matched = pairwise_iou(Boxes(gt_boxes), Boxes(boxes)).argmax(0)
    want = np.unpackbits(case.arrays[f"img{number}.fg.mask_targets"], axis=1)
    targets = masks[matched].crop_and_resize(boxes, 28)
    assert np.array_equal(targets.flatten(1).numpy(), want)
