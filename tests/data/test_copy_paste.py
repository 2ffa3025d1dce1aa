from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.config import get_cfg
from segsuite.data import build_train_loader, register_from_config
from segsuite.data.copy_paste import CopyPaste, paste
from segsuite.structures import BitMasks, Boxes, Instances


def sample(masks, value, classes=None):
    """An image of one value whose objects are (y1, x1, y2, x2) rectangles of an H x W image."""
    (height, width), rectangles = masks
    tensor = torch.zeros(len(rectangles), height, width, dtype=torch.bool)
    for mask, (y1, x1, y2, x2) in zip(tensor, rectangles, strict=True):
        mask[y1:y2, x1:x2] = True
    boxes = torch.tensor([[x1, y1, x2, y2] for y1, x1, y2, x2 in rectangles]).reshape(-1, 4)
    instances = Instances(
        (height, width),
        gt_boxes=Boxes(boxes.float()),
        gt_classes=torch.arange(len(rectangles)) + 10 * value,
        gt_masks=BitMasks(tensor),
    )
    image = torch.full((3, height, width), value, dtype=torch.uint8)
    sem_seg = torch.full((height, width), value, dtype=torch.uint8)
    return {"image": image, "instances": instances, "sem_seg": sem_seg, "file_name": f"{value}"}


def test_what_is_covered_is_taken_from_masks_boxes_and_labels():
    below = sample(((10, 12), [(0, 0, 4, 4), (2, 2, 6, 8), (8, 8, 10, 12)]), 1)
    above = sample(((20, 6), [(1, 1, 5, 5), (15, 0, 20, 6), (0, 3, 2, 6)]), 2)
    result = paste(below, above, torch.tensor([True, True, False]))
    covered = torch.zeros(10, 12, dtype=torch.bool)
    covered[1:5, 1:5] = True  # the second object lies below the image's edge, the third stays
    assert torch.equal(result["image"][0] == 2, covered)
    assert torch.equal(result["sem_seg"] == 2, covered)
    objects = result["instances"]
    assert objects.gt_classes.tolist() == [10, 11, 12, 20]
    assert objects.gt_masks.area().tolist() == [7, 15, 8, 16]
    assert objects.gt_boxes.tensor.tolist() == [
        [0, 0, 4, 4],  # an L remains
        [2, 2, 8, 6],
        [8, 8, 12, 10],
        [1, 1, 5, 5],
    ]
    assert below["instances"].gt_masks.area().tolist() == [16, 24, 8]  # untouched itself


def test_an_object_that_is_covered_whole_is_dropped():
    below = sample(((8, 8), [(2, 2, 4, 4), (0, 0, 8, 3)]), 1)
    above = sample(((8, 8), [(1, 1, 6, 6)]), 2)
    objects = paste(below, above, torch.tensor([True]))["instances"]
    assert objects.gt_classes.tolist() == [11, 20]


def test_nothing_chosen_changes_nothing():
    below, above = sample(((8, 8), [(2, 2, 4, 4)]), 1), sample(((8, 8), [(1, 1, 6, 6)]), 2)
    assert paste(below, above, torch.tensor([False])) is below
    empty = sample(((8, 8), []), 2)
    assert paste(below, empty, torch.zeros(0, dtype=torch.bool)) is below
    assert paste(empty, above, torch.tensor([True]))["instances"].gt_classes.tolist() == [20]


def rectangles(size):
    return st.lists(
        st.tuples(*[st.integers(0, size // 2 - 1)] * 2, *[st.integers(size // 2, size)] * 2),
        max_size=4,
    )


@given(
    st.tuples(st.integers(12, 30), st.integers(12, 30)), rectangles(12), rectangles(20), st.data()
)
def test_pasted_masks_are_whole_and_covered_ones_disjoint(size, below, above, data):
    target, source = sample((size, below), 1), sample(((20, 20), above), 2)
    chosen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(above))))[: len(above)]
    objects = paste(target, source, chosen.bool())["instances"]
    masks, is_pasted = objects.gt_masks.tensor, objects.gt_classes >= 20
    pasted = masks[is_pasted].any(0)
    assert masks.shape[1:] == objects.image_size == size
    assert not (masks[~is_pasted] & pasted).any()
    assert objects.gt_masks.nonempty().all()
    expected = objects.gt_masks.get_bounding_boxes().tensor
    inside = objects.gt_boxes.tensor.minimum(torch.tensor([size[1], size[0]] * 2))
    torch.testing.assert_close(inside, expected)


@pytest.fixture
def cfg(datasets_root):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("shapes_instances_train",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (96,)
    cfg.INPUT.COPY_PASTE_PROB = 1.0
    register_from_config(cfg)
    return cfg


def test_batches_have_more_objects_and_are_a_function_of_the_position(cfg):
    pasted = next(iter(build_train_loader(cfg, start_iter=3)))
    again = next(iter(build_train_loader(cfg, start_iter=3)))
    for a, b in zip(pasted, again, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["instances"].gt_masks.tensor, b["instances"].gt_masks.tensor)
    cfg.INPUT.COPY_PASTE_PROB = 0.0
    plain = next(iter(build_train_loader(cfg, start_iter=3)))
    assert [p["file_name"] for p in pasted] == [p["file_name"] for p in plain]
    count = [sum(len(x["instances"]) for x in batch) for batch in (plain, pasted)]
    assert count[1] > count[0]


def test_errors(cfg):
    cfg.INPUT.MASK_FORMAT = "polygon"
    with pytest.raises(ValueError, match=r"COPY_PASTE_PROB is 1\.0, .*MASK_FORMAT to 'bitmask'"):
        build_train_loader(cfg)
    with pytest.raises(ValueError, match=r"COPY_PASTE_PROB is 1\.5: expected a share"):
        CopyPaste(lambda record, rng: record, [{"annotations": []}], 1.5)
    with pytest.raises(ValueError, match="annotations to paste"):
        CopyPaste(lambda record, rng: record, [{}], np.float64(0.5))
