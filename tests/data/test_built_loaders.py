"""Loaders made of built parts, and samples of mappers and data sets of any origin."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetMapper,
    TrainingSampler,
    build_test_loader,
    build_train_loader,
    get_records,
)
from segsuite.data.transforms import AugmentationList, RandomCrop
from segsuite.utils import comm

RECORDS = [{"file_name": f"{i}.png", "image_id": i} for i in range(7)]


class Numbers(Dataset):
    """A map-style data set that augments as PyTorch's own examples do: by global generators."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"id": index, "noise": torch.rand(2)}


def draw_from_everywhere(record):
    return {**record, "drawn": (random.random(), np.random.rand(), torch.rand(()).item())}


def draw_from_the_generator(record, rng):
    return {**record, "drawn": rng.random()}


class Mapper:
    def __call__(self, record, rng):
        return draw_from_the_generator(record, rng)


def take(loader, count):
    batches = iter(loader)
    taken = list(itertools.islice(batches, count))
    batches.close()
    return list(itertools.chain(*taken))


@pytest.mark.parametrize("mapper", [draw_from_everywhere, draw_from_the_generator, Mapper()])
def test_samples_follow_from_seed_and_position(mapper, monkeypatch):
    def load(**arguments):
        return build_train_loader(RECORDS, mapper=mapper, batch_size=4, seed=3, **arguments)

    expected = take(load(), 5)
    assert len({sample["drawn"] for sample in expected}) == 20
    assert take(load(num_workers=2), 5) == expected
    assert take(load(start_iter=2), 3) == expected[8:]
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        parts.append(take(load(), 5))
    joined = [s for i in range(0, 10, 2) for part in parts for s in part[i : i + 2]]
    assert joined == expected


def test_global_generators_go_on_as_if_nothing_had_been_drawn():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()

    def seed():
        random.seed(0), np.random.seed(0), torch.manual_seed(0)

    seed()
    expected = draw()
    seed()
    take(build_train_loader(RECORDS, mapper=draw_from_everywhere, batch_size=2), 2)
    assert draw() == expected


def test_a_map_style_data_set():
    def load(**arguments):
        return build_train_loader(Numbers(), batch_size=7, **arguments)

    first, second = take(load(), 1), take(load(num_workers=1), 1)
    assert sorted(sample["id"] for sample in first) == list(range(7))
    for one, other in zip(first, second, strict=True):
        assert one["id"] == other["id"] and torch.equal(one["noise"], other["noise"])
    noise = torch.stack([sample["noise"] for sample in take(load(), 3)])
    assert len(noise.unique()) == noise.numel()
    mapped = take(load(mapper=lambda item: {"double": 2 * item["id"]}), 1)
    assert sorted(sample["double"] for sample in mapped) == [0, 2, 4, 6, 8, 10, 12]


def test_a_sampler_of_ones_own():
    class Reversed:
        def index(self, position):
            return -position % 7

    samples = take(build_train_loader(RECORDS, sampler=Reversed(), batch_size=3), 2)
    assert [sample["image_id"] for sample in samples] == [0, 6, 5, 4, 3, 2]


def test_a_registered_name_and_the_parts_of_the_configuration(datasets_root):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("shapes_train",)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.RANDOM_FLIP = (0,), "none"
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 4, 0
    records = get_records("shapes_train")
    assert records == get_records(["shapes_train"]) and len(records) > 100
    expected = take(build_train_loader(cfg), 2)
    mapper = DatasetMapper(is_train=True, augmentations=AugmentationList([]))
    sampler = TrainingSampler(size=len(records), seed=0)
    by_hand = build_train_loader("shapes_train", mapper=mapper, sampler=sampler, batch_size=4)
    for one, other in zip(take(by_hand, 2), expected, strict=True):
        assert one["image_id"] == other["image_id"] and torch.equal(one["image"], other["image"])

    crop = AugmentationList([RandomCrop("absolute", (8, 9))])
    own = build_train_loader(cfg, mapper=DatasetMapper(cfg, is_train=True, augmentations=crop))
    assert [s["image_id"] for s in take(own, 2)] == [s["image_id"] for s in expected]
    assert {s["image"].shape for s in take(own, 2)} == {(3, 8, 9)}
    few = build_train_loader(cfg, dataset=records[:3], batch_size=3)
    assert sorted(s["image_id"] for s in take(few, 1)) == sorted(r["image_id"] for r in records[:3])


def test_evaluation_of_built_parts(monkeypatch):
    samples = list(build_test_loader(RECORDS, mapper=draw_from_everywhere, batch_size=3))
    assert [[s["image_id"] for s in batch] for batch in samples] == [[0, 1, 2], [3, 4, 5], [6]]
    loader = build_test_loader(RECORDS, mapper=draw_from_everywhere, sampler=[5, 1])
    assert len(loader) == 2 and list(loader) == [[samples[1][2]], [samples[0][1]]]
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    assert [s["id"] for (s,) in build_test_loader(Numbers())] == [0, 1, 2]


def test_a_mapper_of_its_own_around_the_usual_one(datasets_root):
    """As Detectron2's examples have it: the usual mapper is called with the record alone."""
    cfg = get_cfg()
    cfg.DATASETS.TRAIN, cfg.INPUT.MIN_SIZE_TRAIN = ("shapes_train",), (30, 40, 50, 60)
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 8, 0
    usual = DatasetMapper(cfg, is_train=True)

    def mapper(record):
        return {**usual(record), "mine": True}

    first, again = (take(build_train_loader(cfg, mapper=mapper), 1) for _ in range(2))
    assert all(sample["mine"] for sample in first)
    assert len({sample["image"].shape for sample in first}) > 1
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one["image"], other["image"])


class Endless(IterableDataset):
    def __iter__(self):
        return iter(RECORDS)


def test_an_iterable_data_set_is_refused():
    for build in (
        lambda: build_train_loader(Endless(), batch_size=2),
        lambda: build_test_loader(Endless()),
    ):
        with pytest.raises(TypeError, match="Endless can't be asked for its item at a position"):
            build()


class Broken(Numbers):
    def __getitem__(self, index):
        if index == 3:
            raise KeyError("nothing here")
        return {"id": index}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_item_that_fails_is_named(num_workers):
    with pytest.raises(RuntimeError, match=r"KeyError while loading item 3 of the Broken"):
        list(build_test_loader(Broken(), num_workers=num_workers))


def test_an_empty_data_set():
    with pytest.raises(ValueError, match="at least one record"):
        build_train_loader([], batch_size=1)
