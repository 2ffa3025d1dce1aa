from __future__ import annotations

import numpy as np
import pytest

from segsuite.data.transforms import (
    AugInput,
    AugmentationList,
    ColorJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomScale,
    ResizeShortestEdge,
)
from segsuite.data.transforms.transform import HFlipTransform, Transform, VFlipTransform


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def blank(size, sem_seg=None):
    return AugInput(np.zeros((*size, 3), np.uint8), sem_seg)


def sizes(augmentation, size, rng, draws=50):
    return [augmentation.get_transform(blank(size), rng).output_size(size) for _ in range(draws)]


@pytest.mark.parametrize(
    ("size", "short", "max_size", "expected"),
    [
        # As Detectron2 computes them.
        ((480, 640), 800, 1333, (800, 1067)),
        ((427, 640), 800, 1333, (800, 1199)),
        ((640, 427), 800, 1333, (1199, 800)),
        ((300, 900), 800, 1333, (444, 1333)),
        ((375, 500), 600, 10000, (600, 800)),
        ((333, 500), 224, 10000, (224, 336)),
        ((1000, 3), 2, 500, (500, 2)),
    ],
)
def test_shortest_edge(rng, size, short, max_size, expected):
    augmentation = ResizeShortestEdge((short,), max_size)
    assert augmentation.get_transform(blank(size), rng).output_size(size) == expected


def test_shortest_edge_sampling(rng):
    choice = sizes(ResizeShortestEdge((20, 30), 1000), (10, 10), rng)
    assert set(choice) == {(20, 20), (30, 30)}
    between = sizes(ResizeShortestEdge((20, 23), 1000, "range"), (10, 10), rng)
    assert set(between) == {(n, n) for n in range(20, 24)}
    assert set(sizes(ResizeShortestEdge((0,), 5), (10, 10), rng)) == {(10, 10)}


def test_random_scale(rng):
    drawn = np.array(sizes(RandomScale(0.5, 2.0), (100, 200), rng, 300))
    assert drawn[:, 0].min() < 55 and drawn[:, 0].max() > 190
    assert drawn[:, 0].min() >= 50 and drawn[:, 0].max() <= 200
    assert abs(drawn[:, 1] - 2 * drawn[:, 0]).max() <= 1


@pytest.mark.parametrize(
    ("crop_type", "crop_size", "low", "high"),
    [
        ("absolute", (30, 50), (30, 50), (30, 50)),
        ("absolute", (300, 50), (100, 50), (100, 50)),
        ("relative", (0.5, 0.25), (50, 50), (50, 50)),
        ("relative_range", (0.5, 0.25), (50, 50), (100, 200)),
        ("absolute_range", (30, 40), (30, 30), (40, 40)),
        ("absolute_range", (90, 150), (90, 90), (100, 150)),
    ],
)
def test_crop_sizes(rng, crop_type, crop_size, low, high):
    drawn = np.array(sizes(RandomCrop(crop_type, crop_size), (100, 200), rng, 200))
    assert (drawn.min(0) >= low).all() and (drawn.max(0) <= high).all()
    if "range" in crop_type:
        assert (drawn.max(0) - drawn.min(0) > 0.7 * np.subtract(high, low)).all()


def test_crops_come_from_everywhere(rng):
    crop = RandomCrop("absolute", (10, 10))
    places = [crop.get_transform(blank((12, 12)), rng) for _ in range(200)]
    assert {(p.x, p.y) for p in places} == {(x, y) for x in range(3) for y in range(3)}


def test_crop_limits_the_share_of_one_class(rng):
    labels = np.zeros((100, 100), np.uint8)
    labels[:20, :20] = 1
    labels[:, 60:] = 255

    def count_crops_with_both(max_area):
        crop = RandomCrop("absolute", (30, 30), max_area, ignore_label=255)
        crops = [crop.get_transform(blank((100, 100), labels), rng) for _ in range(100)]
        return sum((c.apply_segmentation(labels) == 1).any() for c in crops)

    assert count_crops_with_both(0.9) > 1.5 * count_crops_with_both(1.0)


def test_crop_share_is_taken_of_the_resized_labels(rng):
    """Earlier augmentations count: the crop looks at the labels as they are by then."""
    labels = np.zeros((20, 20), np.uint8)
    seen = []

    class Spy(RandomCrop):
        def _is_mixed(self, sem_seg):
            seen.append(sem_seg.shape)
            return True

    augmentations = AugmentationList([RandomScale(3.0, 3.0), Spy("absolute", (50, 40), 0.5)])
    augmentations(blank((20, 20), labels), rng)
    assert seen == [(50, 40)]


def test_flip(rng):
    flips = [RandomFlip().get_transform(blank((4, 6)), rng) for _ in range(100)]
    assert 30 < sum(isinstance(f, HFlipTransform) for f in flips) < 70
    vertical = RandomFlip("vertical", prob=1.0).get_transform(blank((4, 6)), rng)
    assert isinstance(vertical, VFlipTransform) and vertical.height == 4


def test_pad(rng):
    pad = PadToSize((32, 40), color=(1, 2, 3), label=255)
    assert sizes(pad, (30, 50), rng, 1) == [(32, 50)]
    assert type(pad.get_transform(blank((32, 40)), rng)) is Transform


def test_the_same_generator_state_gives_the_same_transform():
    augmentation = AugmentationList(
        [
            RandomScale(0.5, 2.0),
            RandomCrop("absolute", (20, 20), 0.7),
            PadToSize((20, 20), color=(0, 0, 0), label=255),
            RandomFlip(),
            ColorJitter(0.4, 0.4, 0.4, 0.1),
        ]
    )
    data = np.random.default_rng(3)
    image = data.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    labels = data.integers(0, 4, (30, 40), dtype=np.uint8)
    outputs = []
    for seed in (5, 5, 6):
        rng = np.random.Generator(np.random.Philox(seed))
        inputs = AugInput(image, labels)
        augmentation(inputs, rng)
        outputs.append(inputs.image)
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizeShortestEdge((800,), 1333, "some"), "MIN_SIZE_TRAIN_SAMPLING"),
        (lambda: ResizeShortestEdge((1, 2, 3), 1333, "range"), r"\(1, 2, 3\).*MIN_SIZE_TRAIN"),
        (lambda: ResizeShortestEdge((), 1333), "MIN_SIZE_TRAIN"),
        (lambda: RandomScale(2.0, 0.5), r"RANDOM_SCALE is \(2.0, 0.5\)"),
        (lambda: RandomCrop("square", (1, 1)), "'square'.*expected one of absolute, relative,"),
        (lambda: RandomCrop("relative", (320, 320)), r"two shares in \(0, 1\]"),
        (lambda: RandomCrop("absolute", (320,)), "two lengths in pixels"),
        (lambda: RandomFlip("both"), "'both'.*expected 'horizontal' or 'vertical'"),
        (lambda: ColorJitter(hue=0.7), r"HUE is 0.7: expected 0 to 0.5"),
    ],
)
def test_errors_name_the_key_and_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
