"""Images, masks, boxes, polygons and points stay together under every transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.data.transforms import (
    CropTransform,
    HFlipTransform,
    PadTransform,
    ResizedCropTransform,
    ResizeTransform,
    Transform,
    TransformList,
    VFlipTransform,
    fuse,
)
from segsuite.data.transforms.polygons import clip_polygon

HEIGHT, WIDTH = 48, 64

TRANSFORMS = {
    "none": Transform(),
    "resize": ResizeTransform(HEIGHT, WIDTH, 80, 50),
    "shrink": ResizeTransform(HEIGHT, WIDTH, 24, 32),
    "crop": CropTransform(10, 5, 30, 40),
    "pad": PadTransform(7, 9, color=(1, 2, 3), label=255),
    "hflip": HFlipTransform(WIDTH),
    "vflip": VFlipTransform(HEIGHT),
    "chain": TransformList(
        [ResizeTransform(HEIGHT, WIDTH, 72, 96), CropTransform(3, 4, 60, 80), HFlipTransform(80)]
    ),
    "resized_crop": ResizedCropTransform(
        ResizeTransform(HEIGHT, WIDTH, 72, 96), CropTransform(3, 4, 60, 80)
    ),
}


@pytest.fixture(params=TRANSFORMS)
def transform(request):
    return TRANSFORMS[request.param]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_output_size_and_types(transform, image):
    size = transform.output_size((HEIGHT, WIDTH))
    assert transform.apply_image(image).shape == (*size, 3)
    assert transform.apply_image(image).dtype == np.uint8
    for dtype in (np.uint8, np.int32, bool):
        labels = transform.apply_segmentation(image[..., 0].astype(dtype))
        assert labels.shape == size and labels.dtype == dtype
    assert transform.apply_masks(np.zeros((0, HEIGHT, WIDTH), bool)).shape == (0, *size)
    assert transform.apply_masks(np.ones((2, HEIGHT, WIDTH), np.uint8)).shape == (2, *size)


def test_the_input_is_left_alone(transform, image):
    before = image.copy()
    transform.apply_image(image)
    transform.apply_segmentation(image[..., 0])
    assert np.array_equal(image, before)


def test_labels_are_never_blended(transform):
    labels = np.where(np.arange(WIDTH) < 30, 3, 200).astype(np.uint8)[None].repeat(HEIGHT, 0)
    assert set(np.unique(transform.apply_segmentation(labels))) <= {3, 200, 255}


def test_the_mask_of_a_box_moves_with_the_box(transform):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[12:32, 16:40] = 1
    moved = transform.apply_masks(mask[None])[0]
    x0, y0, x1, y1 = transform.apply_box(np.array([[16, 12, 40, 32]]))[0]
    rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
    height, width = moved.shape
    expected = [max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)]
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(found, expected, atol=0.51)


def rasterize(polygons, size):
    polygons = [p for p in polygons if len(p)]
    if not polygons:
        return np.zeros(size, bool)
    rles = coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], *size)
    return coco_mask.decode(coco_mask.merge(rles)).astype(bool)


@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.lists(
        st.tuples(st.integers(2, WIDTH - 2), st.integers(2, HEIGHT - 2)),
        min_size=3,
        max_size=6,
        unique=True,
    ),
)
def test_polygon_and_mask_agree(name, corners):
    transform = TRANSFORMS[name]
    # Corners in the order of their angle, so that the polygon does not cross itself.
    points = np.array(corners, dtype=float)
    around = points - points.mean(0)
    polygon = points[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
    mask = rasterize([polygon], (HEIGHT, WIDTH))
    moved_mask = transform.apply_mask(mask)
    moved = transform.apply_polygons([polygon])
    from_polygon = rasterize(moved, moved_mask.shape)
    # Only pixels that an edge goes through may differ.
    perimeter = sum(np.abs(np.diff(np.vstack([p, p[:1]]), axis=0)).sum() for p in moved if len(p))
    assert (from_polygon != moved_mask).sum() <= 1.5 * perimeter + 4
    # An edge through a pixel's centre is decided by rounding; a thin polygon may be all edge.
    if mask.sum() > 400 and name in ("none", "pad", "hflip", "vflip"):
        both = (from_polygon & moved_mask).sum() / (from_polygon | moved_mask).sum()
        assert both > 0.85


@pytest.mark.parametrize("flip", [HFlipTransform(WIDTH), VFlipTransform(HEIGHT)])
def test_flipping_twice_is_nothing(flip, image):
    twice = TransformList([flip, flip])
    assert np.array_equal(twice.apply_image(image), image)
    points = np.random.default_rng(0).random((9, 2)) * 40
    np.testing.assert_allclose(twice.apply_coords(points), points)


def test_points_follow_pixels():
    """The centre of the brightest pixel is where apply_coords says."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[20, 30] = 255
    for name in ("hflip", "vflip", "crop", "pad"):
        transform = TRANSFORMS[name]
        y, x = np.argwhere(transform.apply_image(image)[..., 0] == 255)[0]
        moved = transform.apply_coords(np.array([[30.5, 20.5]]))[0]
        np.testing.assert_allclose(moved, [x + 0.5, y + 0.5])


def test_padding_values(image):
    pad = TRANSFORMS["pad"]
    padded = pad.apply_image(image)
    assert np.array_equal(padded[:HEIGHT, :WIDTH], image)
    assert (padded[HEIGHT:] == (1, 2, 3)).all() and (padded[:, WIDTH:] == (1, 2, 3)).all()
    labels = pad.apply_segmentation(np.zeros((HEIGHT, WIDTH), np.uint8))
    assert (labels[HEIGHT:] == 255).all() and (labels[:HEIGHT, :WIDTH] == 0).all()
    assert (pad.apply_masks(np.ones((1, HEIGHT, WIDTH), np.uint8))[0, :, WIDTH:] == 0).all()


@given(st.data())
def test_fused_is_unfused_bit_for_bit(data):
    """A resize, a crop and a flip give the same pixels and labels, fused or one by one."""
    old = data.draw(st.tuples(*[st.integers(2, 50)] * 2))
    new = data.draw(st.tuples(*[st.integers(2, 80)] * 2))
    height, width = data.draw(st.integers(1, new[0])), data.draw(st.integers(1, new[1]))
    x = data.draw(st.integers(0, new[1] - width))
    y = data.draw(st.integers(0, new[0] - height))
    chain = [
        ResizeTransform(*old, *new),
        Transform(),
        CropTransform(x, y, height, width),
        HFlipTransform(width),
    ]
    image = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    fused, plain = fuse(chain), TransformList(chain)
    assert len(fused.transforms) == 2
    assert np.array_equal(fused.apply_image(image), plain.apply_image(image))
    labels = image[..., 0]
    assert np.array_equal(fused.apply_segmentation(labels), plain.apply_segmentation(labels))
    assert np.array_equal(fused.apply_mask(labels > 9), plain.apply_mask(labels > 9))
    boxes = np.array([[0, 0, old[1], old[0]]], dtype=float)
    np.testing.assert_array_equal(fused.apply_box(boxes), plain.apply_box(boxes))
    polygons = [np.array([[0, 0], [old[1], 0], [0, old[0]]], dtype=float)]
    for one, other in zip(
        fused.apply_polygons(polygons), plain.apply_polygons(polygons), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_resizes_in_a_row_become_one():
    fused = fuse([ResizeTransform(48, 64, 96, 128), ResizeTransform(96, 128, 24, 32)])
    assert len(fused.transforms) == 1 and fused.output_size((48, 64)) == (24, 32)
    np.testing.assert_allclose(fused.apply_coords(np.array([[64.0, 48.0]])), [[32, 24]])


def area(polygon):
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@given(st.lists(st.tuples(*[st.floats(-20, 40)] * 2), min_size=3, max_size=3))
def test_clipping_never_adds_area_and_stays_inside(corners):
    polygon = np.array(corners)
    clipped = clip_polygon(polygon, 10, 20)
    if len(clipped):
        assert clipped.min() >= -1e-9 and (clipped.max(0) <= [20 + 1e-9, 10 + 1e-9]).all()
        assert area(clipped) <= area(polygon) * (1 + 1e-6) + 1e-6


def test_clipping_known_polygons():
    square = np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]], dtype=float)
    assert area(clip_polygon(square, 10, 10)) == 25
    assert area(clip_polygon(square + 4, 100, 100)) == 81
    assert np.array_equal(clip_polygon(square + 20, 100, 100), square + 20)
    assert len(clip_polygon(square + 200, 100, 100)) == 0
    assert len(clip_polygon(square + np.array([5, 105]), 100, 100)) == 0, "touches the border only"
    # A U whose bottom is cut away leaves two arms.
    u = np.array([[0, 0], [2, 0], [2, 8], [4, 8], [4, 0], [6, 0], [6, 12], [0, 12]], dtype=float)
    assert area(clip_polygon(u, 6, 10)) == 24
