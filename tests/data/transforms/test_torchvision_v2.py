from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from segsuite.config import get_cfg
from segsuite.data import DatasetMapper, build_train_loader, get_records
from segsuite.data.transforms import (
    AugInput,
    AugmentationList,
    RandomFlip,
    RandomScale,
    as_augmentation,
)
from segsuite.data.transforms.torchvision_v2 import TorchvisionAugmentation
from segsuite.errors import ConfigError

from .augmentation_contract import RECTANGLES, instances_of, make_inputs


def augmented(transform, inputs=None, seed=0, **arguments):
    inputs = make_inputs() if inputs is None else inputs
    TorchvisionAugmentation(transform, **arguments)(inputs, np.random.default_rng(seed))
    return inputs


@pytest.mark.parametrize("fill", [0, 1, 2, 255, {tv_tensors.Image: (9, 9, 9), "others": 3}])
def test_what_was_not_in_the_image_is_ignored_and_part_of_no_object(fill):
    inputs = augmented(v2.RandomRotation((45, 45), fill=fill), ignore_label=200)
    corners = inputs.sem_seg[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 200).all()
    color = 9 if isinstance(fill, dict) else fill
    assert (inputs.image[0, 0] == color).all()
    masks = instances_of(inputs).gt_masks.tensor
    assert len(masks) == 3 and not masks[:, inputs.sem_seg == 200].any()


def test_a_rotation_by_a_quarter_is_that_of_the_arrays():
    inputs = augmented(v2.RandomRotation((90, 90), expand=True))
    plain = make_inputs()
    assert np.array_equal(inputs.image, np.rot90(plain.image))
    assert np.array_equal(inputs.sem_seg, np.rot90(plain.sem_seg))
    instances = instances_of(inputs)
    for mask, category in zip(instances.gt_masks.tensor, instances.gt_classes, strict=True):
        assert np.array_equal(mask.numpy(), inputs.sem_seg == category.item())
    expected = [[y0, 64 - x1, y1, 64 - x0] for x0, y0, x1, y1 in RECTANGLES]
    assert instances.gt_boxes.tensor.tolist() == expected


def test_transforms_before_and_after_are_in_their_order():
    both = AugmentationList([RandomScale(2.0, 2.0), v2.CenterCrop((40, 50)), RandomFlip(prob=1.0)])
    inputs = make_inputs()
    both(inputs, np.random.default_rng(0))
    scaled = make_inputs()
    RandomScale(2.0, 2.0)(scaled, np.random.default_rng(0))
    expected = scaled.sem_seg[28:68, 39:89][:, ::-1]
    assert np.array_equal(inputs.sem_seg, expected)
    instances = instances_of(inputs)
    for mask, category in zip(instances.gt_masks.tensor, instances.gt_classes, strict=True):
        assert np.array_equal(mask.numpy(), expected == category.item())


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomPhotometricDistort(p=1.0),
        v2.Compose([v2.GaussianBlur(3), v2.RandomApply([v2.ColorJitter(0.5)], p=1.0)]),
    ],
)
def test_colours_alone_leave_polygons_and_boxes(transform):
    inputs, plain = augmented(transform), make_inputs()
    assert not np.array_equal(inputs.image, plain.image)
    assert np.array_equal(inputs.sem_seg, plain.sem_seg)
    for after, before in zip(inputs.annotations, plain.annotations, strict=True):
        assert np.array_equal(after["segmentation"], before["segmentation"])
        assert after["bbox"] == before["bbox"]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("sanitize", [False, True])
def test_objects_that_a_crop_drops_are_dropped_with_class_and_mask(sanitize, count):
    transform = v2.RandomIoUCrop(min_scale=0.4, sampler_options=[0.0])
    if sanitize:
        transform = v2.Compose([transform, v2.SanitizeBoundingBoxes()])
    left, were_cut = [], 0
    for seed in range(20):
        inputs = make_inputs()
        inputs.annotations = inputs.annotations[:count]
        augmented(transform, inputs, seed)
        instances = instances_of(inputs)
        left.append(len(instances))
        for mask, category in zip(instances.gt_masks.tensor, instances.gt_classes, strict=True):
            assert np.array_equal(mask.numpy(), inputs.sem_seg == category.item())
        visible = set(np.unique(inputs.sem_seg)) & {*range(1, count + 1)}
        were_cut += len(visible - {*instances.gt_classes.tolist()})
    assert min(left) >= 1 and max(left) <= count
    if count > 1:
        assert len(set(left)) > 1 and were_cut  # some have pixels left, but not their centre


def test_a_crop_by_objects_leaves_images_without_any():
    inputs = make_inputs()
    inputs.annotations = []
    augmented(v2.RandomIoUCrop(sampler_options=[0.0]), inputs)  # would look for one without end
    assert inputs.size == (48, 64) and inputs.annotations == []


def test_crowds_are_left_out_and_other_facts_stay():
    inputs = make_inputs()
    inputs.annotations[0]["iscrowd"] = 1
    inputs.annotations[1]["id"] = 77
    augmented(v2.RandomHorizontalFlip(p=1.0), inputs)
    assert [a["category_id"] for a in inputs.annotations] == [2, 3]
    assert inputs.annotations[0]["id"] == 77


def test_boxes_without_masks():
    inputs = make_inputs()
    for annotation in inputs.annotations:
        del annotation["segmentation"]
    inputs.annotations[0] = {"bbox": [4, 6, 24, 22], "bbox_mode": 0, "category_id": 1}
    augmented(v2.RandomHorizontalFlip(p=1.0), inputs)
    boxes = [a["bbox"] for a in inputs.annotations]
    assert boxes == [[64 - x1, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in RECTANGLES]


def test_a_function_of_ones_own():
    inputs = make_inputs()
    augmented(v2.Lambda(lambda x: v2.functional.crop(x, 0, 0, 20, 26)), inputs)
    assert [a["category_id"] for a in inputs.annotations] == [1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_label_maps_of_any_type(dtype):
    highest = 255 if dtype is np.uint8 else 32767
    inputs = make_inputs()
    labels = np.where(inputs.sem_seg == 2, highest, inputs.sem_seg.astype(dtype)).astype(dtype)
    inputs.replace(inputs.image, labels, None)
    augmented(v2.RandomRotation((180, 180)), inputs, ignore_label=77)
    assert np.array_equal(inputs.sem_seg, np.rot90(labels, 2))


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(())
    torch.manual_seed(5)
    augmented(v2.ElasticTransform())
    assert torch.rand(()) == expected


@pytest.mark.parametrize(
    "transform, message",
    [
        (v2.ToDtype(torch.float32, scale=True), r"ToDtype.*\(3, 48, 64\) torch.float32; expected"),
        (v2.Compose([v2.ToPILImage()]), "gave an image that is Image"),
        (v2.Grayscale(1), r"gave an image that is \(1, 48, 64\)"),
    ],
)
def test_what_gives_no_image(transform, message):
    with pytest.raises(ValueError, match=message):
        _ = augmented(transform).image


@pytest.mark.parametrize(
    "transform, message",
    [
        (v2.RandAugment(), r"RandAugment.* can't be applied .*: Inputs of type Mask are not"),
        (v2.FiveCrop(8), r"FiveCrop.* can't be applied"),
        (v2.Compose([v2.Pad(4, padding_mode="reflect"), v2.TrivialAugmentWide()]), "can't be app"),
    ],
)
def test_what_is_for_images_alone(transform, message):
    with pytest.raises(ConfigError, match=message):
        augmented(transform)


def test_a_mistake_in_a_function_of_ones_own_is_no_mistake_of_the_user():
    def mine(sample):
        raise ValueError("mine")

    for transform in (mine, v2.Compose([v2.RandomHorizontalFlip(), v2.Lambda(mine)])):
        with pytest.raises(ValueError, match="mine") as caught:
            augmented(transform)
        assert not isinstance(caught.value, ConfigError)


@pytest.mark.parametrize("box_format", ["XYWH", "CXCYWH", "XYXY"])
def test_boxes_in_another_form(box_format):
    """As pipelines of other libraries end."""
    plain, other = (
        augmented(v2.Compose([v2.RandomHorizontalFlip(1), *more])).annotations
        for more in ([], [v2.ConvertBoundingBoxFormat(box_format)])
    )
    assert [a["bbox"] for a in other] == [a["bbox"] for a in plain]


def test_what_is_no_augmentation():
    with pytest.raises(TypeError, match="a int is no augmentation; expected an Augmentation"):
        as_augmentation(3)


@pytest.fixture
def cfg(datasets_root):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("shapes_train",)
    cfg.INPUT.MIN_SIZE_TRAIN = (0,)
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 4, 0
    cfg.INPUT.AUGMENTATIONS = (
        "default",
        {"torchvision.RandomRotation": {"DEGREES": 20}},
        {"torchvision.ElasticTransform": {"ALPHA": 20.0}},
        "torchvision.RandomPhotometricDistort",
    )
    return cfg


def take(loader, count):
    batches = iter(loader)
    taken = list(itertools.chain(*itertools.islice(batches, count)))
    batches.close()
    return taken


def test_samples_follow_from_seed_and_position(cfg):
    expected = take(build_train_loader(cfg), 4)
    assert any((sample["sem_seg"] == 255).any() for sample in expected)
    cfg.DATALOADER.NUM_WORKERS = 2
    resumed = take(build_train_loader(cfg, start_iter=2), 2)
    for one, other in zip(expected[8:], resumed, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["sem_seg"], other["sem_seg"])


def test_a_mapper_of_callables(datasets_root):
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[v2.RandomRotation((90, 90), expand=True), RandomFlip(prob=1.0)],
        ignore_label=99,
    )
    record = get_records("shapes_train")[0]
    sample = mapper(record, np.random.default_rng(0))
    plain = DatasetMapper(is_train=True, augmentations=[])(record, np.random.default_rng(0))
    for key in ("image", "sem_seg"):
        assert torch.equal(sample[key], plain[key].rot90(1, (-2, -1)).flip(-1))


def test_instances_of_a_mapper(datasets_root):
    record = get_records("shapes_instances_train")[0]
    for mask_format in ("polygon", "bitmask"):
        mapper = DatasetMapper(
            is_train=True,
            augmentations=v2.RandomRotation((10, 10)),
            use_instance_mask=True,
            instance_mask_format=mask_format,
        )
        instances = mapper(record, np.random.default_rng(0))["instances"]
        assert len(instances) and len(instances.gt_masks) == len(instances)
        tight = instances.gt_masks.get_bounding_boxes().tensor
        torch.testing.assert_close(instances.gt_boxes.tensor, tight)


def test_inputs_without_anything_but_an_image():
    inputs = AugInput(make_inputs().image)
    augmented(v2.RandomVerticalFlip(p=1.0), inputs)
    assert np.array_equal(inputs.image, make_inputs().image[::-1])
    assert inputs.sem_seg is None and inputs.annotations is None
