"""The matching in NumPy: as pycocotools does it, and Boundary AP by its definition."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from segsuite.evaluation.coco_arrays import split_images
from segsuite.evaluation.coco_engines import PycocotoolsEngine
from segsuite.evaluation.coco_files import read_objects
from segsuite.evaluation.coco_matching import MatchingEngine
from segsuite.evaluation.coco_results import detection_columns
from tests.helpers import requires_coco_tiny

from .coco_data import coco_tiny, detections_near
from .test_coco_engines import same, small_world


def curves(engine, world, step=2):
    sizes, _, truth, found = world
    for part in split_images(sizes, truth, found, step):
        engine.add(part)
    return engine.curves()


def check(world, task="segm", limits=(1, 10, 100), ratio=0.02, step=2):
    ours = MatchingEngine(task, world[1], limits, dilation_ratio=ratio)
    reference = PycocotoolsEngine("segm", world[1], limits, boundary_eval(ratio))
    if task != "boundary":
        reference = PycocotoolsEngine(task, world[1], limits)
    same(curves(ours, world, step), curves(reference, world, step))


def boundary_eval(ratio):
    """pycocotools with the IoU of Boundary AP: the smaller one of masks' and bands', with crowds
    that of the masks alone."""

    class BoundaryEval(COCOeval):
        def computeIoU(self, image, category):
            ious = np.array(super().computeIoU(image, category))
            objects, found = self._gts[image, category], self._dts[image, category]
            order = np.argsort([-d["score"] for d in found], kind="mergesort")
            found = [found[i] for i in order[: self.params.maxDets[-1]]]
            if not len(objects) or not len(found):
                return ious
            crowds = [int(o["iscrowd"]) for o in objects]
            bands = [[band(a["segmentation"], ratio) for a in of] for of in (found, objects)]
            of_bands = np.array(coco_mask.iou(*bands, crowds))
            return np.where(crowds, ious, np.minimum(ious, of_bands))

    return BoundaryEval


def band(rle, ratio):
    """The pixels of a mask that d erosions by a 3 x 3 square remove."""
    mask = coco_mask.decode(rle)
    d = max(1, round(ratio * np.hypot(*mask.shape)))
    eroded = cv2.erode(np.pad(mask, 1), np.ones((3, 3)), iterations=d)[1:-1, 1:-1]
    return coco_mask.encode(np.asfortranarray(mask - eroded))


@pytest.mark.parametrize("task", ["bbox", "segm", "boundary"])
class TestEqualToTheReference:
    @settings(max_examples=25, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        images=st.integers(1, 4),
        categories=st.integers(1, 3),
        objects=st.integers(0, 9),
        detections=st.integers(0, 30),
        limits=st.sampled_from([(1, 10, 100), (1, 2, 10, 100, 300)]),
        ratio=st.sampled_from([0.02, 0.05, 0.5]),
    )
    def test_any(self, task, seed, limits, ratio, **counts):
        check(small_world(seed, **counts), task, limits, ratio)

    @pytest.mark.parametrize("objects, detections", [(0, 0), (0, 5), (5, 0), (150, 200), (6, 101)])
    def test_few_and_many(self, task, objects, detections):
        counts = {"images": 1, "categories": 1, "objects": objects, "detections": detections}
        check(small_world(1, **counts), task)


@requires_coco_tiny
def test_boundaries_of_real_masks():
    content = coco_tiny()
    content["images"] = content["images"][:25]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    objects, index = read_objects(content)
    detections = detection_columns(detections_near(content, 0, per_object=1), index)
    check((index.sizes, len(index.category_ids), objects, detections), "boundary", step=64)
