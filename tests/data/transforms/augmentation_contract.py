"""What every augmentation must do. A new one takes a class of three lines."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from segsuite.config import get_cfg
from segsuite.data.instances import annotations_to_instances
from segsuite.data.transforms import AugInput, AugmentationList, build_augmentations
from segsuite.structures import Instances

HEIGHT, WIDTH = 48, 64
IGNORED = 254
# Three objects, each a rectangle of a colour and a class of its own: x0, y0, x1, y1.
RECTANGLES = [(4, 6, 24, 22), (30, 10, 60, 30), (20, 30, 40, 46)]


def make_inputs() -> AugInput:
    """A picture whose label map, boxes and polygons can be told from its colours."""
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    sem_seg = np.zeros((HEIGHT, WIDTH), np.uint8)
    annotations = []
    for number, (x0, y0, x1, y1) in enumerate(RECTANGLES, 1):
        image[y0:y1, x0:x1] = 40 + 60 * number
        sem_seg[y0:y1, x0:x1] = number
        polygon = np.array([x0, y0, x1, y0, x1, y1, x0, y1], dtype=float)
        annotations.append(
            {
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "category_id": number,
                "segmentation": [polygon],
                "iscrowd": 0,
            }
        )
    return AugInput(image, sem_seg, annotations)


def instances_of(inputs: AugInput) -> Instances:
    return annotations_to_instances(
        inputs.annotations,
        inputs.annotated_size,
        inputs.transform,
        mask_format="bitmask",
        recompute_boxes=True,
    )


class AugmentationContract:
    """Subclass it as ``class TestMyAugmentation(AugmentationContract)`` and set what follows.

    Attributes:
        entry: what stands in INPUT.AUGMENTATIONS.
        options: further keys and values of the configuration.
        keeps_colors: whether a pixel's colour tells its class afterwards, but at edges.
    """

    entry: object
    options: dict[str, object] = {}
    keeps_colors = True

    def build(self) -> AugmentationList:
        cfg = get_cfg()
        cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = IGNORED
        for key, value in self.options.items():
            cfg.merge_from_list([key, value])
        cfg.INPUT.AUGMENTATIONS = (self.entry,)
        return build_augmentations(cfg, is_train=True)

    def augment(self, seed: int = 0) -> AugInput:
        inputs = make_inputs()
        self.build()(inputs, np.random.Generator(np.random.Philox(seed)))
        return inputs

    @pytest.mark.parametrize("seed", range(6))
    def test_sizes_types_and_labels(self, seed):
        inputs = self.augment(seed)
        assert inputs.image.shape == (*inputs.size, 3) and inputs.image.dtype == np.uint8
        assert inputs.sem_seg.shape == inputs.size and inputs.sem_seg.dtype == np.uint8
        assert set(np.unique(inputs.sem_seg)) <= {0, 1, 2, 3, IGNORED}

    @pytest.mark.parametrize("seed", range(6))
    def test_image_labels_and_objects_stay_together(self, seed):
        inputs = self.augment(seed)
        instances, sem_seg = instances_of(inputs), inputs.sem_seg
        if self.keeps_colors:
            color_class = np.rint((inputs.image[..., 0].astype(float) - 40) / 60)
            wrong = (color_class != sem_seg) & (sem_seg != IGNORED)
            assert wrong.mean() < 0.15
        for category, mask, box in zip(
            instances.gt_classes.tolist(),
            instances.gt_masks.tensor.numpy(),
            instances.gt_boxes.tensor.numpy(),
            strict=True,
        ):
            # Pixels of an edge may be the neighbour's.
            labels = sem_seg == category
            assert (labels != mask).sum() <= 2 * (mask.shape[0] + mask.shape[1])
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose(box, found, atol=1)

    def test_the_same_generator_gives_the_same_sample(self):
        one, other = self.augment(3), self.augment(3)
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.sem_seg, other.sem_seg)
        for a, b in zip(instances_of(one), instances_of(other), strict=True):
            assert (a.gt_boxes.tensor == b.gt_boxes.tensor).all()

    def test_the_sample_that_came_in_is_left_alone(self):
        inputs = make_inputs()
        image, sem_seg, annotations = inputs.image, inputs.sem_seg, inputs.annotations
        before = copy.deepcopy((image, sem_seg, annotations))
        self.build()(inputs, np.random.default_rng(0))
        _ = inputs.image, inputs.sem_seg, instances_of(inputs)
        assert np.array_equal(image, before[0]) and np.array_equal(sem_seg, before[1])
        assert all(a["bbox"] == b["bbox"] for a, b in zip(annotations, before[2], strict=True))

    def test_an_image_without_labels_or_with_no_objects(self):
        image = make_inputs().image
        inputs = AugInput(image, None, [])
        self.build()(inputs, np.random.default_rng(0))
        assert inputs.sem_seg is None and len(instances_of(inputs)) == 0

    def test_workers_that_are_spawned_get_a_copy(self):
        augmentations = pickle.loads(pickle.dumps(self.build()))
        inputs = make_inputs()
        augmentations(inputs, np.random.Generator(np.random.Philox(0)))
        assert np.array_equal(inputs.image, self.augment().image)
