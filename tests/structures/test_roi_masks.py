import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from segsuite.structures import (
    ROIMasks,
    decode_masks,
    encode_masks,
    encode_window,
    whole_pixel_boxes,
)


def pasted(probability, box, image_size):
    """What the definition says, through grid_sample over the whole image."""
    height, width = image_size
    x = (torch.arange(width) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(height) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    return F.grid_sample(probability[None, None], grid, align_corners=False)[0, 0]


@st.composite
def roi_masks(draw):
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    count, size = draw(st.integers(0, 4)), draw(st.sampled_from([1, 5, 28]))
    corners = torch.rand(count, 2, 2, generator=generator) * torch.tensor([width, height])
    low, high = corners.amin(1), corners.amax(1)
    boxes = torch.cat([low, torch.maximum(high, low + 0.01)], dim=1)
    boxes[: count // 2, 1::2] = torch.tensor([0.0, height])
    probabilities = torch.rand(count, size, size, generator=generator)
    return ROIMasks(probabilities, boxes, (height, width))


@settings(max_examples=60, deadline=None)
@given(roi_masks())
def test_masks_are_pasted_by_the_definition(masks):
    tensor = masks.tensor
    assert tensor.shape == (len(masks), *masks.image_size) and tensor.dtype == torch.bool
    for mask, probability, box in zip(tensor, masks.probabilities, masks.boxes, strict=True):
        expected = pasted(probability, box, masks.image_size)
        clear = (expected - 0.5).abs() > 1e-4
        assert torch.equal(mask[clear], expected[clear] >= 0.5)
    assert all(torch.equal(a, b) for a, b in zip(masks, tensor, strict=True))


@settings(max_examples=60, deadline=None)
@given(roi_masks())
def test_rle_is_that_of_the_whole_mask(masks):
    assert masks.rle() == encode_masks(masks.tensor)


@pytest.mark.parametrize(
    "top, left, h, w", [(0, 0, 6, 7), (2, 0, 4, 3), (0, 4, 6, 3), (3, 3, 0, 0)]
)
def test_encode_window(top, left, h, w):
    window = torch.from_numpy(np.random.default_rng(h).random((h, w)) > 0.3)
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, top : top + h, left : left + w] = window
    rle = encode_window(window, top, left, (6, 7))
    assert [rle] == encode_masks(mask)
    assert torch.equal(decode_masks([rle], 6, 7), mask)


def test_indexing():
    masks = ROIMasks(torch.rand(3, 4, 4), torch.tensor([[0.0, 0, 8, 8]] * 3), (10, 12))
    assert len(masks[1]) == 1 and masks[[2, 0]].probabilities.shape == (2, 4, 4)
    assert torch.equal(masks[torch.tensor([False, True, False])].tensor, masks.tensor[1:2])
    assert masks.to("cpu").to_bitmasks().image_size == (10, 12)


@settings(max_examples=60, deadline=None)
@given(roi_masks())
def test_masks_in_whole_pixels_are_torchvisions(masks):
    size = masks.probabilities.shape[-1]
    boxes = whole_pixel_boxes(masks.boxes, size)
    found = ROIMasks(masks.probabilities, boxes, masks.image_size)
    wanted = paste_masks_in_image(masks.probabilities[:, None], masks.boxes, masks.image_size)
    for mask, expected in zip(found, wanted.view(len(masks), *masks.image_size), strict=True):
        clear = (expected - 0.5).abs() > 1e-4
        assert torch.equal(mask[clear], (expected > 0.5)[clear])
