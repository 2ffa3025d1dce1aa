"""The spool of an evaluation."""

import tracemalloc

import pytest

from segsuite.evaluation import spool as spool_module
from segsuite.evaluation.spool import Spool
from segsuite.utils import comm
from tests.processes import run_group


def test_orders_and_forgets_nothing(tmp_path):
    spool = Spool(tmp_path / "new")
    for image_id in (7, 3, 20):
        spool.add(image_id, f"ä{image_id}")
    gathered = spool.gather()
    assert gathered.image_ids == [3, 7, 20] and len(gathered) == 3
    assert list(gathered) == [(i, f"ä{i}") for i in (3, 7, 20)]
    assert list(gathered[1:]) == [(7, "ä7"), (20, "ä20")]
    spool.add(1, "")
    assert list(spool.gather())[:2] == [(1, ""), (3, "ä3")]
    assert list((tmp_path / "new").iterdir()) == []
    spool.add(3, "")
    with pytest.raises(ValueError, match="image 3 was predicted twice"):
        spool.gather()


def test_texts_are_not_in_memory():
    spool = Spool()
    tracemalloc.start()
    for image_id in range(200):
        spool.add(image_id, "x" * 100_000)
    for _, text in spool.gather():
        assert len(text) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def gathered_of_two():
    spool_module._BLOCK = 7  # several blocks, and not as many of each process
    spool = Spool()
    rank = comm.get_rank()
    for image_id in [1, 4] if rank else [3, 0, 2]:
        spool.add(image_id, f"image {image_id}" * image_id)
    first = list(spool.gather())
    return first == list(spool.gather()), first


def test_two_processes():
    (same, first), (same_there, second) = run_group(gathered_of_two)
    assert same and same_there
    assert first == [(i, f"image {i}" * i) for i in range(5)]
    assert second == []
