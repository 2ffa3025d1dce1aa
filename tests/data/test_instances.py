from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import DatasetMapper, load_coco_json
from segsuite.data.instances import annotations_to_instances
from segsuite.data.transforms import (
    CropTransform,
    HFlipTransform,
    PadTransform,
    ResizeTransform,
    Transform,
    VFlipTransform,
    fuse,
)
from segsuite.data.transforms.polygons import clip_polygon
from segsuite.structures import BitMasks, BoxMode, PolygonMasks, encode_masks, rasterize_polygons
from tests.helpers import SHARED, requires_coco_tiny, requires_parity
from tests.parity import ParityCase

SIZE = (40, 60)
SQUARE = np.array([10.0, 5.0, 30.0, 5.0, 30.0, 25.0, 10.0, 25.0])
TRIANGLE = np.array([40.0, 10.0, 55.0, 10.0, 40.0, 30.0])


def annotation(*polygons, **facts):
    points = np.concatenate(polygons).reshape(-1, 2)
    corner, size = points.min(0), np.ptp(points, axis=0)
    bbox = [*corner, *size]
    return {"id": 1, "iscrowd": 0, "bbox": bbox, "category_id": 3, "segmentation": polygons} | facts


def as_rle(annotation):
    masks = rasterize_polygons([annotation["segmentation"]], *SIZE)
    return annotation | {"segmentation": encode_masks(masks)[0]}


def test_fields():
    annotations = [annotation(SQUARE), annotation(TRIANGLE, category_id=0)]
    instances = annotations_to_instances(
        annotations, SIZE, ResizeTransform(*SIZE, 80, 60), mask_format="polygon"
    )
    assert instances.image_size == (80, 60)
    assert instances.gt_boxes.tensor.tolist() == [[10, 10, 30, 50], [40, 20, 55, 60]]
    assert instances.gt_boxes.tensor.dtype == torch.float32
    assert instances.gt_classes.tolist() == [3, 0] and instances.gt_classes.dtype == torch.int64
    assert isinstance(instances.gt_masks, PolygonMasks)
    assert torch.equal(instances.gt_masks.get_bounding_boxes().tensor, instances.gt_boxes.tensor)


def test_no_masks_asked_for():
    boxes_only = annotation(SQUARE)
    del boxes_only["segmentation"]
    instances = annotations_to_instances([boxes_only], SIZE, Transform(), mask_format=None)
    assert len(instances) == 1 and not instances.has("gt_masks")
    instances = annotations_to_instances([boxes_only], SIZE, Transform(), mask_format="polygon")
    assert len(instances) == 0, "an object without a mask can't be trained with masks"


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask", None])
def test_no_instance(mask_format):
    for no_object in ([], [annotation(SQUARE, iscrowd=1)]):
        instances = annotations_to_instances(no_object, SIZE, Transform(), mask_format=mask_format)
        assert len(instances) == 0
        assert instances.gt_boxes.tensor.shape == (0, 4)
        assert instances.gt_classes.dtype == torch.int64
        if mask_format is not None:
            assert instances.gt_masks.crop_and_resize(torch.zeros(0, 4), 28).shape == (0, 28, 28)


def test_what_a_crop_cuts_away():
    annotations = [annotation(SQUARE), annotation(TRIANGLE)]
    crop = CropTransform(0, 0, 40, 20)
    instances = annotations_to_instances(annotations, SIZE, crop, mask_format="polygon")
    assert instances.gt_boxes.tensor.tolist() == [[10, 5, 20, 25]]
    assert instances.gt_masks.area().tolist() == [200]


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_boxes_from_the_masks_are_tight(mask_format):
    crop = CropTransform(40, 20, 20, 20)
    loose, tight = (
        annotations_to_instances(
            [annotation(TRIANGLE)], SIZE, crop, mask_format=mask_format, recompute_boxes=recompute
        )
        for recompute in (False, True)
    )
    assert loose.gt_boxes.tensor.tolist() == [[0, 0, 15, 10]]
    assert (tight.gt_boxes.tensor - torch.tensor([[0, 0, 7.5, 10]])).abs().max() <= 1


def test_rle_of_one_object_makes_bit_masks_of_the_image():
    annotations = [annotation(SQUARE), as_rle(annotation(TRIANGLE))]
    mixed = annotations_to_instances(annotations, SIZE, HFlipTransform(60), mask_format="polygon")
    drawn = annotations_to_instances(annotations, SIZE, HFlipTransform(60), mask_format="bitmask")
    assert isinstance(mixed.gt_masks, BitMasks)
    assert torch.equal(mixed.gt_masks.tensor, drawn.gt_masks.tensor)
    square = mixed.gt_masks.tensor[0]
    assert square[5:25, 30:50].all() and square.sum() == 400


@st.composite
def polygons_and_transforms(draw):
    """A convex polygon (a notch could fall between pixels), and a chain of transforms."""
    angles = np.sort(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=9, unique=True)))
    radii = draw(st.tuples(st.floats(2, 40), st.floats(2, 40)))
    center = draw(st.tuples(st.floats(0, SIZE[1]), st.floats(0, SIZE[0])))
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii + center
    points = clip_polygon(points, *SIZE)
    assume(len(points))
    size, scale, chain = SIZE, 1.0, []
    for kind in draw(
        st.lists(st.sampled_from(["resize", "flip", "vflip", "crop", "pad"]), max_size=4)
    ):
        if kind == "resize":
            new_size = draw(st.tuples(st.integers(20, 90), st.integers(20, 90)))
            scale *= max(1, new_size[0] / size[0], new_size[1] / size[1])
            transform = ResizeTransform(*size, *new_size)
        elif kind == "crop":
            height, width = (draw(st.integers(min(10, n), n)) for n in size)
            y, x = draw(st.integers(0, size[0] - height)), draw(st.integers(0, size[1] - width))
            transform = CropTransform(x, y, height, width)
        elif kind == "pad":
            transform = PadTransform(
                *draw(st.tuples(st.integers(0, 9), st.integers(0, 9))), color=(0, 0, 0), label=255
            )
        else:
            transform = HFlipTransform(size[1]) if kind == "flip" else VFlipTransform(size[0])
        size = transform.output_size(size)
        chain.append(transform)
    return points.ravel(), fuse(chain), scale


@given(polygons_and_transforms())
@settings(max_examples=100)
def test_polygons_and_masks_are_transformed_alike(case):
    """They differ only by the rounding of pixels along the border."""
    polygon, transform, scale = case
    annotations = [annotation(polygon)]
    height, width = transform.output_size(SIZE)
    drawn = {}
    for mask_format in ("polygon", "bitmask"):
        instances = annotations_to_instances(annotations, SIZE, transform, mask_format=mask_format)
        masks = instances.gt_masks
        if mask_format == "polygon":
            masks = BitMasks.from_polygon_masks(masks, height, width)
        drawn[mask_format] = masks.tensor.any(0).numpy().astype(np.uint8)
    reach = 2 * math.ceil(scale) + 3
    kernel = np.ones((reach, reach), np.uint8)
    a, b = drawn.values()
    for mask, other in ((a, b), (b, a)):
        inside = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        assert not (inside & ~other).any()


@requires_parity
@pytest.mark.parametrize("number", [0, 1])
def test_a_training_sample_equals_detectron2s(number):
    case = ParityCase.load("d2_mask_rcnn_R_50_FPN_1x_train")
    about = case.about["inputs"][number]
    folder, _, file_name = (SHARED / about["image"]).as_posix().rpartition("/")
    records = load_coco_json(SHARED / about["annotations"], folder)
    record = next(r for r in records if r["file_name"].endswith(file_name))
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.RANDOM_FLIP = (480,), "none"
    sample = DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(0))
    assert torch.equal(sample["image"], case.image(number))
    instances, arrays = sample["instances"], case.arrays
    assert np.array_equal(instances.gt_boxes.tensor.numpy(), arrays[f"img{number}.gt_boxes"])
    assert np.array_equal(instances.gt_classes.numpy(), arrays[f"img{number}.gt_classes"])


@requires_coco_tiny
def test_every_real_image(tmp_path):
    """The masks of flipped, resized real objects overlap those drawn before the resize."""
    root = SHARED / "data" / "coco_tiny"
    records = load_coco_json(root / "annotations" / "instances_val2017.json", root / "val2017")
    overlaps = []
    for record in records[::4]:
        size = (record["height"], record["width"])
        half = (size[0] // 2, size[1] // 2)
        transform = fuse([ResizeTransform(*size, *half), HFlipTransform(half[1])])
        annotations = record["annotations"]
        polygons, drawn = (
            annotations_to_instances(annotations, size, transform, mask_format=f)
            for f in ("polygon", "bitmask")
        )
        want = BitMasks.from_polygon_masks(polygons.gt_masks, *half).tensor
        kept = [a for a in annotations if not a["iscrowd"]]
        assert len(polygons) == len(kept)
        if len(drawn) == len(polygons):
            both, either = (want & drawn.gt_masks.tensor), (want | drawn.gt_masks.tensor)
            big = polygons.gt_masks.area() > 400
            overlaps += (both.flatten(1).sum(1) / either.flatten(1).sum(1))[big].tolist()
    assert len(overlaps) > 50 and min(overlaps) > 0.85, min(overlaps)


def test_masks_from_boxes(tmp_path):
    """Objects without a mask get their box, filled, whichever way it is written."""
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    polygon = [np.array([1.0, 1, 9, 1, 9, 9])]
    annotations = [
        {"bbox": [1, 1, 8, 8], "category_id": 0, "segmentation": polygon},
        {"bbox": [4, 2, 14, 10], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1},
        {"bbox": [5, 6, 3, 4], "category_id": 2, "segmentation": None},
    ]
    record = {"file_name": tmp_path / "a.png", "image_id": 1, "annotations": annotations}
    for mask_format in ("polygon", "bitmask"):
        options = {"is_train": True, "augmentations": [], "use_instance_mask": True}
        options["instance_mask_format"] = mask_format
        left = DatasetMapper(**options)(record)["instances"]
        assert left.gt_classes.tolist() == [0]
        instances = DatasetMapper(**options, masks_from_boxes=True)(record)["instances"]
        assert instances.gt_classes.tolist() == [0, 1, 2]
        assert instances.gt_masks.area().tolist()[1:] == [80, 12]
        boxes = instances.gt_masks.get_bounding_boxes().tensor[1:]
        assert boxes.tolist() == [[4, 2, 14, 10], [5, 6, 8, 10]]
    assert "segmentation" not in annotations[1]
