from __future__ import annotations

import itertools
import json
import logging
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    build,
    build_test_loader,
    build_train_loader,
    register_coco_instances,
)
from segsuite.utils import comm

NAME = "test_build_set"


@pytest.fixture
def cfg(tmp_path):
    """Eight images, of which 3 and 7 are portrait, 0 is empty and 5 has a crowd alone."""
    images, annotations = [], []
    for i in range(8):
        height, width = (30, 20) if i in (3, 7) else (20, 30)
        Image.fromarray(np.full((height, width, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
        facts = {"id": i, "image_id": i, "category_id": 1 + (i == 6), "bbox": [2, 2, 9, 9]}
        polygon = [2, 2, 11, 2, 11, 11, 2, 11]
        if i:
            annotations.append({**facts, "iscrowd": int(i == 5), "segmentation": [polygon]})
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(content))
    register_coco_instances(NAME, {}, tmp_path / "a.json", tmp_path)
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (20, 30), 60
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS, cfg.MODEL.MASK_ON = 2, 0, True
    yield cfg
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def ids(cfg, num_batches):
    batches = itertools.islice(build_train_loader(cfg), num_batches)
    return [[sample["image_id"] for sample in batch] for batch in batches]


def test_images_without_objects_are_left_out_or_kept(cfg):
    assert {i for batch in ids(cfg, 24) for i in batch} == {1, 2, 3, 4, 6, 7}
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    assert {i for batch in ids(cfg, 24) for i in batch} == set(range(8))


def test_no_object_at_all(cfg, tmp_path):
    content = json.loads((tmp_path / "a.json").read_text())
    content["annotations"] = []
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"no image of {NAME} has an object"):
        build_train_loader(cfg)
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    batch = next(iter(build_train_loader(cfg)))
    assert [len(sample["instances"]) for sample in batch] == [0, 0]


def test_a_batch_is_of_landscape_or_portrait_images(cfg):
    batches = ids(cfg, 12)
    assert all(len({i in (3, 7) for i in batch}) == 1 for batch in batches)
    assert sorted(itertools.chain(*batches)) == sorted([1, 2, 3, 4, 6, 7] * 4)
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    assert not all(len({i in (3, 7) for i in batch}) == 1 for batch in ids(cfg, 12))


@pytest.mark.parametrize("world_size", [2, 4])
def test_resuming_and_processes_with_groups_and_repeats(cfg, monkeypatch, world_size):
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
    alone = [*itertools.chain(*itertools.islice(build_train_loader(cfg), 9))]
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
    together = []
    for iteration in range(9):
        for rank in range(world_size):
            monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
            together += next(iter(build_train_loader(cfg, start_iter=iteration)))
    assert [s["image_id"] for s in together] == [s["image_id"] for s in alone]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["instances"].gt_boxes.tensor, other["instances"].gt_boxes.tensor)


def test_rare_categories_come_more_often(cfg):
    plain = [*itertools.chain(*ids(cfg, 60))].count(6)
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 4 / 6
    assert [*itertools.chain(*ids(cfg, 60))].count(6) == pytest.approx(plain * 2 * 6 / 7, abs=2)


@pytest.mark.parametrize(
    "settings, message",
    [
        (("DATALOADER.SAMPLER_TRAIN", "Training"), "'Training' is not in the SAMPLER registry"),
        (("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"), "REPEAT_THRESHOLD above 0"),
        (("INPUT.MASK_FORMAT", "rle"), r"INPUT\.MASK_FORMAT is 'rle'"),
    ],
)
def test_settings_that_do_not_work(cfg, settings, message):
    cfg.merge_from_list(list(settings))
    with pytest.raises((KeyError, ValueError), match=message):
        build_train_loader(cfg)


def test_evaluation_has_every_image_and_no_annotation(cfg):
    samples = [*itertools.chain(*build_test_loader(cfg, NAME))]
    assert [sample["image_id"] for sample in samples] == list(range(8))
    assert not any("instances" in sample for sample in samples)


def test_workers_send_instances(cfg):
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = iter(build_train_loader(cfg))
    instances = next(loader)[0]["instances"]
    loader.close()
    assert len(instances) == 1 and len(instances.gt_masks.polygons[0][0]) == 8


def test_large_scale_jitter(cfg):
    """As docs/instances.md has it: to fit the square, by a random factor, cropped and padded."""
    cfg.merge_from_list(
        [
            *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MAX_SIZE_TRAIN", "64"),
            *("INPUT.RANDOM_SCALE", "(0.1, 2.0)", "INPUT.CROP.ENABLED", "True"),
            *("INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", "[64, 64]"),
        ]
    )
    areas = set()
    for sample in itertools.chain(*itertools.islice(build_train_loader(cfg), 12)):
        assert sample["image"].shape == (3, 64, 64)
        instances = sample["instances"]
        masks = instances.gt_masks.get_bounding_boxes().tensor
        torch.testing.assert_close(instances.gt_boxes.tensor, masks)
        areas.update(instances.gt_masks.area().tolist())
    assert len(areas) > 10 and max(areas) > 25 * min(areas)


def test_an_image_of_another_size_is_named(cfg, tmp_path):
    Image.new("RGB", (20, 30)).save(tmp_path / "1.png")
    with pytest.raises(
        ValueError,
        match=r"1\.png has 30 x 20 pixels, its .* 20 x 30 .*height and width are swapped",
    ):
        [*itertools.islice(build_train_loader(cfg), 6)]
    (tmp_path / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no image file .*1\.png"):
        [*itertools.islice(build_train_loader(cfg), 6)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_loader_of_the_stream_reads_no_data_set(cfg, monkeypatch, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_train_loader(cfg)
    first = iter(loader)
    expected = [next(first) for _ in range(2)]
    fresh = list(itertools.islice(build_train_loader(cfg, start_iter=3), 3))
    monkeypatch.setattr(type(DatasetCatalog), "get", None)
    again = list(itertools.islice(loader.starting_at(3), 3))
    for a, b in zip(itertools.chain(*again), itertools.chain(*fresh), strict=True):
        assert a["image_id"] == b["image_id"] and torch.equal(a["image"], b["image"])
    # The loader that it comes from goes on where it was.
    expected += [next(first) for _ in range(3)]
    anew = list(itertools.islice(iter(loader), 5))
    for a, b in zip(itertools.chain(*expected), itertools.chain(*anew), strict=True):
        assert a["image_id"] == b["image_id"] and torch.equal(a["image"], b["image"])


def test_a_test_loader_has_no_iterations(cfg):
    with pytest.raises(TypeError, match="goes through a data set once"):
        build_test_loader(cfg, NAME).starting_at(2)


def test_more_workers_than_cores_are_told_once(cfg, caplog, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    build._workers.cache_clear()
    cfg.DATALOADER.NUM_WORKERS = 5
    logger = logging.getLogger("segsuite.data.build")
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PyTorch has one of its own
            for _ in range(2):
                next(iter(build_test_loader(cfg, NAME)))
    finally:
        logger.removeHandler(caplog.handler)
        build._workers.cache_clear()
    told = {record.created: record.getMessage() for record in caplog.records}
    assert list(told.values()) == ["DATALOADER.NUM_WORKERS is 5; this machine has 2 cores: 2"]
