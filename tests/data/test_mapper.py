from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import DatasetMapper, position_rng
from segsuite.data.transforms import (
    AugInput,
    Augmentation,
    AugmentationList,
    ColorJitter,
    HFlipTransform,
    RandomCrop,
    RandomFlip,
    RandomScale,
)


@pytest.fixture
def record(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(rng.integers(0, 12, (20, 30), dtype=np.uint8)).save(tmp_path / "l.png")
    return {
        "file_name": str(tmp_path / "a.png"),
        "sem_seg_file_name": str(tmp_path / "l.png"),
        "image_id": "a",
    }


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pixels(path):
    return np.asarray(Image.open(path))


def test_training_sample(record, rng):
    mapper = DatasetMapper(
        is_train=True, augmentations=AugmentationList([RandomFlip(prob=1.0)]), image_format="RGB"
    )
    sample = mapper(record, rng)
    assert sample["image"].dtype == torch.uint8 and sample["image"].is_contiguous()
    image, labels = pixels(record["file_name"]), pixels(record["sem_seg_file_name"])
    assert np.array_equal(sample["image"].numpy(), image[:, ::-1].transpose(2, 0, 1))
    assert np.array_equal(sample["sem_seg"].numpy(), labels[:, ::-1])
    assert (sample["height"], sample["width"]) == (20, 30)
    assert sample["image_id"] == "a" and sample["file_name"] == record["file_name"]


def test_evaluation_sample_keeps_the_labels_size(record, rng):
    mapper = DatasetMapper(is_train=False, augmentations=RandomScaleOnly(2.0), image_format="BGR")
    sample = mapper(record, rng)
    assert sample["image"].shape == (3, 40, 60)
    assert "sem_seg" not in sample
    assert np.array_equal(sample["sem_seg_gt"].numpy(), pixels(record["sem_seg_file_name"]))
    assert (sample["height"], sample["width"]) == (20, 30)


class RandomScaleOnly(AugmentationList):
    def __init__(self, scale):
        super().__init__([RandomScale(scale, scale)])


def test_bgr_and_label_map(record, rng):
    label_map = {i: i for i in range(11)} | {11: 255}
    mapper = DatasetMapper(
        is_train=True,
        augmentations=AugmentationList([]),
        image_format="BGR",
        label_map=label_map,
    )
    sample = mapper(record, rng)
    image, labels = pixels(record["file_name"]), pixels(record["sem_seg_file_name"])
    assert np.array_equal(sample["image"].numpy(), image[:, :, ::-1].transpose(2, 0, 1))
    assert np.array_equal(sample["sem_seg"].numpy(), np.where(labels == 11, 255, labels))
    # The map of the record's own data set comes first.
    sample = mapper({**record, "label_map": None}, rng)
    assert np.array_equal(sample["sem_seg"].numpy(), labels)


def test_image_and_labels_get_one_transform(tmp_path, rng):
    """Labels drawn from the image's own values can be told from the transformed image."""
    grey = np.kron(rng.integers(0, 4, (9, 12)), np.ones((8, 8), int)).astype(np.uint8)
    Image.fromarray(np.stack([grey * 60] * 3, axis=2)).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "l.png")
    record = {
        "file_name": str(tmp_path / "a.png"),
        "sem_seg_file_name": str(tmp_path / "l.png"),
        "image_id": 0,
    }
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("INPUT.MIN_SIZE_TRAIN", "(0,)", "INPUT.RANDOM_SCALE", "(0.7, 1.6)"),
            *("INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "absolute"),
            *("INPUT.CROP.SIZE", "[64, 64]", "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA", "0.6"),
        ]
    )
    mapper = DatasetMapper(cfg, is_train=True)
    for seed in range(20):
        sample = mapper(record, np.random.default_rng(seed))
        assert sample["image"].shape == (3, 64, 64) and sample["sem_seg"].shape == (64, 64)
        valid = sample["sem_seg"] != 255
        difference = (sample["image"][0].int() - sample["sem_seg"].int() * 60).abs()[valid]
        # Only where the bilinear image blends two blocks it differs from its label.
        assert (difference > 2).float().mean() < 0.35


def test_color_jitter_sees_rgb_whatever_the_format(record):
    augmentations = AugmentationList([ColorJitter(0.3, 0.3, 0.3, 0.1)])
    rgb, bgr = (
        DatasetMapper(is_train=True, augmentations=augmentations, image_format=image_format)(
            record, np.random.default_rng(0)
        )["image"]
        for image_format in ("RGB", "BGR")
    )
    assert torch.equal(rgb, bgr.flip(0))
    with pytest.raises(ValueError, match="'GBR': expected one of"):
        DatasetMapper(is_train=True, augmentations=augmentations, image_format="GBR")


def test_image_without_labels(record, rng):
    del record["sem_seg_file_name"]
    sample = DatasetMapper(is_train=False, augmentations=AugmentationList([]))(record, rng)
    assert set(sample) == {"image", "file_name", "image_id", "height", "width"}


def test_sizes_that_differ(record, rng):
    Image.fromarray(np.zeros((20, 31), np.uint8)).save(record["sem_seg_file_name"])
    mapper = DatasetMapper(is_train=True, augmentations=AugmentationList([]))
    with pytest.raises(ValueError, match=r"a\.png has 20 x 30 pixels, .*l\.png 20 x 31 \(height x"):
        mapper(record, rng)


def test_an_augmentation_of_ones_own(record, rng):
    class Always(Augmentation):
        def get_transform(self, inputs, rng):
            return HFlipTransform(inputs.size[1])

    sample = DatasetMapper(is_train=True, augmentations=Always())(record, rng)
    labels = pixels(record["sem_seg_file_name"])
    assert np.array_equal(sample["sem_seg"].numpy(), labels[:, ::-1])


@pytest.mark.parametrize("several", [False, True])
def test_an_augmentation_that_draws_from_global_generators(record, several):
    class Shifted(Augmentation):
        def get_transform(self, inputs, rng):
            drawn.append((np.random.rand(), random.random(), torch.rand(()).item()))
            return HFlipTransform(inputs.size[1])

    drawn: list[tuple[float, ...]] = []
    augmentations = [RandomFlip(), Shifted()] if several else Shifted()
    mapper = DatasetMapper(is_train=True, augmentations=augmentations)
    before = np.random.get_state()[1].copy()
    for position in (5, 6, 5):
        mapper(record, position_rng(0, position))
    assert drawn[0] == drawn[2] != drawn[1]
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
@pytest.mark.parametrize("flips", [(), ("horizontal",), ("vertical",), ("horizontal", "vertical")])
@pytest.mark.parametrize("crop", [False, True])
def test_pixels_of_any_view(record, rng, image_format, flips, crop):
    augmentations = [RandomFlip(direction, prob=1.0) for direction in flips]
    if crop:
        augmentations.append(RandomCrop("absolute", (7, 11)))
    mapper = DatasetMapper(
        is_train=True, augmentations=AugmentationList(augmentations), image_format=image_format
    )
    del record["sem_seg_file_name"]
    got = mapper(record, np.random.default_rng(1))["image"]
    inputs = AugInput(pixels(record["file_name"]))
    mapper.augmentations(inputs, np.random.default_rng(1))
    want = inputs.image[:, :, :: 1 if image_format == "RGB" else -1]
    assert got.is_contiguous() and np.array_equal(got.numpy(), want.transpose(2, 0, 1))
