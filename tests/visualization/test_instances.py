import subprocess
import sys

import numpy as np
import pytest
import torch

from segsuite.data import Metadata
from segsuite.structures import Boxes, Instances, ROIMasks, WindowMasks, clip_boxes
from segsuite.visualization import (
    ColorTracker,
    Prediction,
    draw_instances,
    draw_panoptic,
)
from segsuite.visualization.summary import summarize


def box_masks(*boxes, size=(60, 80)):
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return np.array(boxes, float), masks


def test_small_instances_lie_over_large_ones():
    image = np.full((60, 80, 3), 100, np.uint8)
    boxes, masks = box_masks((30, 20, 40, 30), (10, 10, 70, 50))
    colors = [(255, 0, 0), (0, 0, 255)]
    picture = draw_instances(image, boxes, masks=masks, colors=colors, alpha=1.0)
    assert picture[25, 35].tolist() == [255, 0, 0] and picture[15, 15].tolist() == [0, 0, 255]
    assert (image == 100).all() and (picture[55] == 100).all()


def test_boxes_alone_outside_and_nothing():
    image = np.full((60, 80, 3), 100, np.uint8)
    picture = draw_instances(image, [(-20.0, -5, 30, 30), (500, 500, 600, 600)], texts=["a", "b"])
    assert (picture != image).any() and (picture[40:, 40:58] == 100).all()
    assert (draw_instances(image, np.zeros((0, 4)), masks=np.zeros((0, 60, 80), bool)) == 100).all()


def test_what_does_not_fit_is_told():
    image = np.zeros((60, 80, 3), np.uint8)
    boxes, masks = box_masks((1, 2, 3, 4))
    with pytest.raises(ValueError, match="2 texts for 1 boxes"):
        draw_instances(image, boxes, texts=["a", "b"])
    with pytest.raises(ValueError, match=r"masks are 60 x 40 .* image 60 x 80"):
        draw_instances(image, boxes, masks=masks[..., :40])


def test_panoptic_segments_have_their_colours():
    image = np.full((60, 80, 3), 100, np.uint8)
    segmentation = np.zeros((60, 80), np.int32)
    segmentation[30:] = 1
    segmentation[5:25, 5:25], segmentation[5:25, 50:70] = 70000, 9
    info = [
        {"id": 1, "isthing": False, "category_id": 1},
        {"id": 70000, "isthing": True, "category_id": 0},
        {"id": 9, "isthing": True, "category_id": 0},
    ]
    names = {"thing_names": ["car"], "stuff_names": ["sky", "road"]}
    colors = [(0, 0, 255), (200, 0, 0)]
    picture = draw_panoptic(image, segmentation, info, **names, stuff_colors=colors, alpha=1.0)
    assert picture[55, 5].tolist() == [200, 0, 0] and picture[2, 40].tolist() == [100] * 3
    assert picture[22, 22].tolist() != picture[22, 67].tolist()
    with pytest.raises(ValueError, match="segmentation 30 x 80"):
        draw_panoptic(image, segmentation[:30], info, **names, stuff_colors=colors)


def test_tracked_colours_follow_their_instances():
    tracker = ColorTracker()
    a, b = np.array([0, 0, 20, 20.0]), np.array([50, 0, 70, 20.0])
    first = tracker.update([a, b], [0, 0])
    assert first[0] != first[1]
    assert tracker.update([b + 3, a + 3], [0, 0]) == first[::-1]
    assert tracker.update([b + 6], [0]) == [first[1]]  # `a` is hidden for a frame
    assert tracker.update([a + 6, b + 9], [0, 0]) == first
    other_class = tracker.update([a + 6], [1])
    assert other_class[0] not in first
    assert tracker.update(np.zeros((0, 4)), []) == []


class TestMasksInWindows:
    """Masks are drawn from where they lie, with the picture that whole ones give."""

    SIZE = (90, 120)

    def found(self, masks=None):
        generator = torch.Generator().manual_seed(3)
        corners = torch.rand(12, 2, generator=generator) * torch.tensor([90.0, 60.0])
        boxes = torch.cat([corners, corners + 5 + 40 * torch.rand(12, 2, generator=generator)], 1)
        boxes = boxes.clamp(min=0) - torch.tensor([[4.0, 4, 0, 0]])
        boxes = clip_boxes(boxes, self.SIZE)
        probabilities = torch.rand(12, 28, 28, generator=generator)
        return Instances(
            self.SIZE,
            pred_boxes=Boxes(boxes),
            scores=torch.linspace(0.4, 1, 12),
            pred_classes=torch.arange(12) % 2,
            pred_masks=(masks or ROIMasks)(probabilities, boxes, self.SIZE),
        )

    def prediction(self, found):
        image = np.random.default_rng(0).integers(0, 255, (*self.SIZE, 3), np.uint8)
        metadata = Metadata("drawn").set(thing_classes=["a", "b"])
        return Prediction(image, {"instances": found}, metadata)

    def test_every_picture_and_file_is_that_of_whole_masks(self):
        whole = self.found()
        whole.pred_masks = whole.pred_masks.tensor
        stored = self.found()
        stored.pred_masks = WindowMasks(stored.pred_masks.windows(), self.SIZE)
        expected = self.prediction(whole)
        for found in (self.found(), stored):
            prediction = self.prediction(found)
            assert (prediction.draw() == expected.draw()).all()
            assert (prediction.mask_of_class(1) == expected.mask_of_class(1)).all()
            assert prediction.coco_results(1) == expected.coco_results(1)
            assert summarize(prediction) == summarize(expected)

    def test_no_mask_is_made_as_large_as_the_image(self):
        class Guarded(ROIMasks):
            """Masks whose windows alone may be looked at."""

            def __iter__(self):
                raise AssertionError("a mask of the size of the image")

            tensor = to_bitmasks = property(__iter__)

            def __getitem__(self, index):
                chosen = super().__getitem__(index)
                return Guarded(chosen.probabilities, chosen.boxes, chosen.image_size)

            def to(self, *args):
                return self

        prediction = self.prediction(self.found(Guarded))
        expected = self.prediction(self.found())
        assert (prediction.draw() == expected.draw()).all()
        assert len(prediction.coco_results(1)) == 12 and prediction.found() == expected.found()
        assert summarize(prediction) == summarize(expected)

    @pytest.mark.slow
    def test_memory_of_600_masks_on_a_large_picture(self):
        """They take 7.2 GB as (N, H, W)."""
        script = """
import resource, numpy as np, torch
from segsuite.data import Metadata
from segsuite.structures import Boxes, Instances, ROIMasks
from segsuite.visualization import Prediction
from segsuite.visualization.summary import summarize
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30),) * 2)
size, k = (3000, 4000), torch.arange(600)
corners = torch.stack([k % 30 * 130.0, k // 30 * 145.0], 1)
boxes = torch.cat([corners, corners + 60], 1)
masks = ROIMasks(torch.ones(600, 28, 28), boxes, size)
found = Instances(size, pred_boxes=Boxes(boxes), scores=torch.ones(600), pred_classes=k * 0)
found.pred_masks = masks
image = np.zeros((*size, 3), np.uint8)
prediction = Prediction(image, {"instances": found}, Metadata("x").set(thing_classes=["a"]))
print(prediction.draw().shape, len(prediction.coco_results(1)), summarize(prediction)[0].count)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.split() == ["(3000,", "4000,", "3)", "600", "600"], done.stderr[-2000:]
