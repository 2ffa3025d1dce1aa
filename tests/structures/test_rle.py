from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from segsuite.structures import decode_masks, encode_masks, rasterize_polygons, to_rle
from segsuite.structures.run_lengths import decode_counts

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)))
SQUARE = [2.0, 1.0, 5.0, 1.0, 5.0, 4.0, 2.0, 4.0]


@given(MASKS)
def test_masks_come_back(masks):
    masks = torch.from_numpy(masks)
    rles = encode_masks(masks)
    assert all(isinstance(rle["counts"], str) for rle in rles)
    assert torch.equal(decode_masks(rles, *masks.shape[1:]), masks)


@given(MASKS)
def test_encoding_is_that_of_pycocotools(masks):
    want = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    assert encode_masks(torch.from_numpy(masks)) == [
        {"size": rle["size"], "counts": rle["counts"].decode()} for rle in want
    ]


@given(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=12))
def test_counts_are_read_as_pycocotools_writes_them(runs):
    height = max(sum(runs), 1)
    rle = coco_mask.frPyObjects({"size": [height, 1], "counts": runs}, height, 1)
    assert decode_counts(rle["counts"]) == runs


def test_no_mask():
    assert encode_masks(torch.zeros(0, 3, 4, dtype=torch.bool)) == []
    assert decode_masks([], 3, 4).shape == (0, 3, 4)


def test_views_and_wrong_types():
    masks = torch.rand(3, 8, 6) > 0.5
    assert encode_masks(masks.transpose(1, 2)) == encode_masks(masks.transpose(1, 2).contiguous())
    with pytest.raises(ValueError, match=r"\(N, H, W\) bool"):
        encode_masks(masks.float())


def test_every_form_is_the_same_mask():
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, 1:4, 2:5] = True
    compressed = encode_masks(mask)[0]
    uncompressed = {"size": [6, 7], "counts": decode_counts(compressed["counts"])}
    for form in ([SQUARE], compressed, uncompressed):
        assert torch.equal(decode_masks([to_rle(form, 6, 7)], 6, 7), mask)


@pytest.mark.parametrize(
    "segmentation, message",
    [
        ([], "no polygon"),
        ([SQUARE, [1.0, 1.0, 2.0, 2.0]], "polygon 1 has 4 values"),
        ([[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]], "polygon 0 has 7 values"),
        ({"size": [7, 6], "counts": [42]}, "of 7 x 6 pixels .* the image has 6 x 7"),
        ({"size": [6, 7], "counts": [40, 1]}, "add up to 41"),
        ({"size": [6, 7], "counts": "b"}, "cut short"),
        ({"size": [6, 7], "counts": "\x20"}, "character ' '"),
    ],
)
def test_bad_segmentations(segmentation, message):
    with pytest.raises(ValueError, match=message):
        to_rle(segmentation, 6, 7)


def test_rle_of_another_size():
    rle = encode_masks(torch.ones(1, 2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="RLE 0 is of a mask of 2 x 3"):
        decode_masks(rle, 3, 2)


def test_polygons_of_an_object_are_joined():
    other = [0.0, 4.0, 2.0, 4.0, 2.0, 6.0, 0.0, 6.0]
    masks = rasterize_polygons([[], [SQUARE, other], [], [other], []], 6, 7)
    assert masks.flatten(1).sum(1).tolist() == [0, 9 + 4, 0, 4, 0]
    merged = coco_mask.merge(coco_mask.frPyObjects([SQUARE, other], 6, 7))
    assert np.array_equal(masks[1].numpy(), coco_mask.decode(merged))
    assert rasterize_polygons([], 6, 7).shape == (0, 6, 7)
    assert not rasterize_polygons([[]], 6, 7).any()
