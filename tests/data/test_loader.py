from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
import traceback
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segsuite.config import get_cfg
from segsuite.data import (
    DatasetCatalog,
    MappedDataset,
    MappedLoader,
    TrainingBatches,
    TrainingSampler,
    build_test_loader,
    build_train_loader,
    get_records,
)
from segsuite.errors import DataError
from segsuite.utils import comm
from tests.helpers import REPO
from tests.processes import is_running, python_command, wait_until


@pytest.fixture
def cfg(datasets_root):
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("DATASETS.TRAIN", "('shapes_train',)"),
            *("INPUT.MIN_SIZE_TRAIN", "(0,)", "INPUT.MIN_SIZE_TEST", "0"),
            *("INPUT.RANDOM_SCALE", "(0.5, 2.0)", "INPUT.CROP.ENABLED", "True"),
            *("INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", "[48, 64]"),
            *("SOLVER.IMS_PER_BATCH", "4", "DATALOADER.NUM_WORKERS", "0"),
        ]
    )
    return cfg


def take(loader, count):
    batches = iter(loader)
    taken = [next(batches) for _ in range(count)]
    batches.close()  # ends the workers now
    return taken


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(itertools.chain(*one), itertools.chain(*other), strict=True):
        assert a["file_name"] == b["file_name"]
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["sem_seg"], b["sem_seg"])


def test_batches(cfg):
    batches = take(build_train_loader(cfg), 3)
    assert [len(batch) for batch in batches] == [4, 4, 4]
    sample = batches[0][0]
    assert sample["image"].shape == (3, 48, 64) and sample["image"].dtype == torch.uint8
    assert sample["sem_seg"].shape == (48, 64)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing(cfg, num_workers):
    expected = take(build_train_loader(cfg), 5)
    cfg.DATALOADER.NUM_WORKERS = num_workers
    assert_same(take(build_train_loader(cfg), 5), expected)


def test_resuming_is_skipping(cfg):
    expected = take(build_train_loader(cfg), 7)[4:]
    assert_same(take(build_train_loader(cfg, start_iter=4), 3), expected)
    # Across an epoch's end, far into training.
    later = build_train_loader(cfg, start_iter=10**6)
    assert_same(take(later, 2)[1:], take(build_train_loader(cfg, start_iter=10**6 + 1), 1))


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_one_stream(cfg, monkeypatch, world_size):
    alone = take(build_train_loader(cfg), 2)
    parts = []
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
    for rank in range(world_size):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        parts.append(take(build_train_loader(cfg), 2))
    joined = [list(itertools.chain(*batches)) for batches in zip(*parts, strict=True)]
    assert_same(joined, alone)


def test_batch_smaller_than_the_process_count(cfg, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 8)
    with pytest.raises(ValueError, match=r"SOLVER\.IMS_PER_BATCH is 4 for 8 processes"):
        build_train_loader(cfg)


def test_seed_changes_order_and_augmentation(cfg):
    first = take(build_train_loader(cfg), 2)
    cfg.SEED = 1
    other = take(build_train_loader(cfg), 2)
    names = [[s["file_name"] for b in batches for s in b] for batches in (first, other)]
    assert names[0] != names[1]


def test_global_random_states_are_left_alone(cfg):
    cfg.DATALOADER.NUM_WORKERS = 1
    torch.manual_seed(3)
    np.random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    take(build_train_loader(cfg), 2)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_visits_every_image_once_in_order(cfg, monkeypatch, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    seen = []
    for rank in range(3):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        loader = build_test_loader(cfg, "shapes_val")
        assert len(loader) == 20
        seen += [sample["image_id"] for (sample,) in loader]
    assert seen == [r["image_id"] for r in DatasetCatalog.get("shapes_val")]


def test_evaluation_can_be_repeated(cfg):
    loader = build_test_loader(cfg, "shapes_val")
    first, second = ([s["image_id"] for (s,) in loader] for _ in range(2))
    assert first == second and len(first) == 60


def test_data_set_errors(cfg):
    with pytest.raises(ValueError, match=r"set DATASETS\.TRAIN"):
        get_records([])
    with pytest.raises(KeyError, match=r"'shapes_trian' is not in .* mean 'shapes_train'"):
        get_records(["shapes_trian"])
    DatasetCatalog.register("test_empty", list)
    try:
        with pytest.raises(ValueError, match="data set 'test_empty' is empty"):
            get_records(["test_empty"])
    finally:
        DatasetCatalog.remove("test_empty")


def loader_of(mapper, num_workers):
    records = [{"file_name": f"img{i}.png", "image_id": i} for i in range(4)]
    stream = TrainingSampler(size=4, seed=0, shuffle=False)
    return MappedLoader(
        dataset=MappedDataset(records, mapper, stream, seed=0),
        batches=TrainingBatches(total_batch_size=1),
        num_workers=num_workers,
    )


def fail_on_third(record, rng):
    if record["image_id"] == 2:
        raise IndexError("out of range")
    return record


def die_on_third(record, rng):
    if record["image_id"] == 2:
        time.sleep(0.5)  # so that the samples before are delivered
        os.kill(os.getpid(), signal.SIGKILL)
    return record


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_the_mapper_names_the_file(num_workers):
    with pytest.raises(RuntimeError, match=r"IndexError while loading img2\.png: out of range"):
        take(loader_of(fail_on_third, num_workers), 4)


def cannot_read_third(record, rng):
    if record["image_id"] == 2:
        raise DataError(f"{record['file_name']} is cut short")
    return record


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_cannot_be_read_is_the_same_error_with_and_without_workers(num_workers):
    with pytest.raises(DataError) as caught:
        take(loader_of(cannot_read_third, num_workers), 4)
    assert str(caught.value) == "img2.png is cut short"  # no traceback of the worker's
    trace = "".join(traceback.format_exception(caught.value))
    assert "in cannot_read_third" in trace


def lacks_labels(record, rng):
    raise DataError("it has no label map")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_error_without_the_name_of_the_file_gets_it(num_workers):
    with pytest.raises(DataError, match=r"^img0\.png: it has no label map$"):
        take(loader_of(lacks_labels, num_workers), 1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_mistake_in_the_mapper_keeps_its_line(num_workers):
    def mapper(record, rng):
        return int("seven")

    with pytest.raises(RuntimeError, match=r"ValueError while loading img0\.png") as caught:
        take(loader_of(mapper, num_workers), 1)
    assert 'return int("seven")' in "".join(traceback.format_exception(caught.value))


def test_a_killed_worker_names_the_file():
    with pytest.raises(RuntimeError, match=r"worker died: .*reading img2\.png\. .*NUM_WORKERS 0"):
        take(loader_of(die_on_third, 1), 4)


PARENT = """
import multiprocessing, sys
from segsuite.config import get_cfg
from segsuite.data import build_train_loader
cfg = get_cfg()
cfg.DATASETS.TRAIN = ("shapes_train",)
cfg.DATALOADER.NUM_WORKERS = 2
cfg.SOLVER.IMS_PER_BATCH = 2
batches = iter(build_train_loader(cfg))
for _ in range(2):  # one of each worker: both are through their start, in which Ctrl-C ends them
    next(batches)
print(*[p.pid for p in multiprocessing.active_children()], flush=True)
for batch in batches:
    pass
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(datasets_root, end):
    parent = subprocess.Popen(
        python_command("-c", PARENT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
        start_new_session=True,
    )
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2 and all(map(is_running, workers))
    if end == signal.SIGINT:
        os.killpg(parent.pid, end)  # as a terminal does: to the workers too
    else:
        parent.kill()
    _, errors = parent.communicate(timeout=60)
    if end == signal.SIGINT:
        assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors
    if not wait_until(lambda: not any(map(is_running, workers))):
        left = [pid for pid in workers if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"workers {left} are left")


def test_workers_start_after_opencv_has_used_its_threads(cfg):
    """OpenCV's thread pool, once it is there, hangs a forked process that changes its size."""
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 3)
    cfg.DATALOADER.NUM_WORKERS = 2
    assert len(take(build_train_loader(cfg), 2)) == 2
