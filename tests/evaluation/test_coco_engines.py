"""Engines: each gives the reference's precision and recall, or says why it is not used."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segsuite.evaluation import coco_engine_choice, coco_engines
from segsuite.evaluation.coco_arrays import COCODetections, COCOObjects, split_images
from segsuite.evaluation.coco_engine_choice import build_engine, choose_engine

OTHERS = ["hotcoco", "faster_coco_eval"]
SIZE = (40, 50)


def rectangles(boxes):
    """Masks of boxes, as far as they are in the picture: compressed counts."""
    counts = []
    for x, y, w, h in boxes.astype(int).tolist():
        mask = np.zeros(SIZE, np.uint8, order="F")
        mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
        counts.append(coco_mask.encode(mask)["counts"])
    return counts


def small_world(seed, images=3, categories=2, objects=8, detections=30):
    """Boxes on a coarse grid, so that IoUs and scores are often equal; some crowds."""
    rng = np.random.default_rng(seed)
    boxes = 4 * rng.integers([-1, -1, 0, 0], [12, 9, 7, 7], (objects, 4)).astype(float)
    of_object = rng.integers(0, objects, detections) if objects else np.zeros(detections, int)
    moved = 2.0 * rng.integers([-1, -1, 0, 0], [12, 9, 7, 7], (detections, 4))
    near = rng.random(detections) < 0.7 * bool(objects)
    moved[near] = boxes[of_object[near]] + rng.integers(-1, 2, (near.sum(), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], 0)
    image = rng.integers(0, images, objects)
    elsewhere = rng.integers(0, images, detections)
    truth = COCOObjects(
        images=image,
        categories=rng.integers(0, categories, objects),
        boxes=boxes,
        masks=rectangles(boxes),
        areas=rng.choice([0, 5, 1023.9, 1024, 9216, 9216.1, 1e10, 2e10], objects),
        crowds=rng.random(objects) < 0.2,
    )
    found = COCODetections(
        images=np.where(near, image[of_object], elsewhere) if objects else elsewhere,
        categories=rng.integers(0, categories, detections),
        boxes=moved,
        masks=rectangles(moved),
        scores=rng.choice([-0.5, 0.0, 0.1, 0.5, 0.5, 1.0], detections),
    )
    return np.full((images, 2), SIZE), categories, truth, found


def curves(engine, task, world, limits=(1, 10, 100), step=2):
    sizes, num_categories, truth, found = world
    built = build_engine(engine, task, num_categories, limits)
    for part in split_images(sizes, truth, found, step):
        built.add(part)
    return built.curves()


def same(got, expected):
    assert got.max_detections == expected.max_detections
    np.testing.assert_allclose(got.precision, expected.precision, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.recall, expected.recall, rtol=0, atol=1e-9)


@pytest.fixture(params=OTHERS)
def engine(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("task", ["bbox", "segm"])
class TestEqualToTheReference:
    @settings(max_examples=25, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        images=st.integers(1, 4),
        categories=st.integers(1, 3),
        objects=st.integers(0, 9),
        detections=st.integers(0, 30),
        limits=st.sampled_from([(1, 10, 100), (1, 2, 10, 100, 300)]),
    )
    def test_any(self, task, seed, limits, **counts):
        world = small_world(seed, **counts)
        expected = curves("pycocotools", task, world, limits)
        for engine in OTHERS:
            pytest.importorskip(engine)
            same(curves(engine, task, world, limits), expected)

    @pytest.mark.parametrize("detections", [99, 100, 101, 350])
    def test_many_detections_of_an_image(self, task, engine, detections):
        world = small_world(detections, images=1, categories=1, objects=6, detections=detections)
        for limits in ((1, 10, 100), (1, 10, 100, 300)):
            expected = curves("pycocotools", task, world, limits)
            same(curves(engine, task, world, limits), expected)

    def test_many_objects_of_an_image(self, task, engine):
        world = small_world(0, images=1, categories=1, objects=150, detections=200)
        same(curves(engine, task, world), curves("pycocotools", task, world))

    def test_equal_scores_of_many_images(self, task, engine):
        """They rank in the order of the images, however these are shared out."""
        world = small_world(0, images=80, categories=2, objects=200, detections=800)
        same(curves(engine, task, world, step=3), curves("pycocotools", task, world))

    @pytest.mark.parametrize("objects, detections", [(0, 0), (0, 5), (5, 0)])
    def test_nothing(self, task, engine, objects, detections):
        world = small_world(1, objects=objects, detections=detections)
        same(curves(engine, task, world), curves("pycocotools", task, world))


@pytest.mark.parametrize("engine", ["pycocotools", *OTHERS])
class TestEngine:
    def test_parts_do_not_matter(self, engine):
        pytest.importorskip(engine)
        world = small_world(3, images=7, objects=30, detections=90)
        for task in ("bbox", "segm"):
            same(curves(engine, task, world, step=1), curves(engine, task, world, step=100))

    def test_equal_scores_rank_by_image_and_order(self, engine):
        """Of two detections with one score, one right: the order decides the precision."""
        pytest.importorskip(engine)
        box, miss = [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 10.0, 10.0]

        def precision(first, second, images):
            boxes = np.array([box])
            truth = COCOObjects(
                *(np.array([1]), np.zeros(1, int), boxes, rectangles(boxes)),
                areas=np.array([100.0]),
                crowds=np.array([False]),
            )
            moved = np.array([first, second])
            found = COCODetections(
                *(np.array(images), np.zeros(2, int), moved, rectangles(moved)),
                scores=np.array([0.5, 0.5]),
            )
            world = (np.full((2, 2), SIZE), 1, truth, found)
            best = {
                round(float(curves(engine, task, world).precision[0, :, 0, 0, 2].max()), 9)
                for task in ("bbox", "segm")
            }
            assert len(best) == 1
            return best.pop()

        assert precision(box, miss, [1, 1]) == 1
        assert precision(miss, box, [1, 1]) == 0.5
        assert precision(box, miss, [1, 0]) == 0.5  # the image before comes first

    def test_no_image_and_no_category(self, engine):
        pytest.importorskip(engine)
        none = small_world(0, images=1, objects=0, detections=0)
        shape = build_engine(engine, "bbox", 2).curves().precision.shape
        assert shape == (10, 101, 2, 4, 3)
        world = (none[0], 0, *none[2:])
        assert curves(engine, "segm", world).recall.shape == (10, 0, 4, 3)


class TestChoice:
    """Which engine "auto" is, and what is said of those that can't be used."""

    @pytest.fixture
    def installed(self, monkeypatch):
        """Versions by package; pycocotools is always there."""
        versions = {}
        monkeypatch.setattr(coco_engine_choice, "_installed", lambda p: versions.get(p))
        versions["pycocotools"] = "2.0.7"
        return versions

    def test_the_fastest_is_chosen(self, installed):
        assert choose_engine("auto") == "pycocotools"
        pytest.importorskip("faster_coco_eval")
        installed["faster-coco-eval"] = "1.8.0"
        assert choose_engine("auto") == "faster_coco_eval"
        pytest.importorskip("hotcoco")
        installed["hotcoco"] = "1.3.0"
        assert choose_engine("auto") == "hotcoco"

    def test_unknown_name(self):
        message = r"'coco' is not in the engines \(TEST.COCO_ENGINE\)"
        with pytest.raises(ValueError, match=message):
            choose_engine("coco")

    @pytest.mark.parametrize(
        "engine, package", [("hotcoco", "hotcoco"), ("faster_coco_eval", "faster-coco-eval")]
    )
    def test_missing(self, installed, engine, package):
        with pytest.raises(ImportError, match=f"needs the package {package}; pip install"):
            choose_engine(engine)

    def test_too_old(self, installed, caplog):
        installed["hotcoco"] = "1.2.9"
        with pytest.raises(ImportError, match=r"needs hotcoco 1\.3 or newer; 1\.2\.9 is here"):
            choose_engine("hotcoco")
        assert choose_engine("auto") == "pycocotools"
        assert re.search(r"not computed by 'hotcoco', which needs hotcoco 1\.3", caplog.text)

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_version_that_is_wrong(self, installed, caplog, monkeypatch, fails):
        """One that doesn't know crowds, or doesn't run, is not used."""
        pytest.importorskip("hotcoco")
        add = coco_engines.HotcocoEngine.add

        def wrong(self, part):
            if fails:
                raise TypeError("update() takes 2 arguments")
            part.objects.crowds[:] = False
            add(self, part)

        monkeypatch.setattr(coco_engines.HotcocoEngine, "add", wrong)
        installed["hotcoco"] = f"9.{fails:d}"
        message = "fails: TypeError: update" if fails else "are not those of pycocotools"
        with pytest.raises(ImportError, match=rf"hotcoco 9\.\d {message}"):
            choose_engine("hotcoco")
        assert choose_engine("auto") == "pycocotools"
        assert message in caplog.text
