from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsuite.data import InferenceSampler, SampleStream, TrainingBatches


@given(st.integers(1, 40), st.integers(-5, 2**70), st.integers(0, 5))
def test_each_epoch_has_every_record_once(size, seed, epoch):
    stream = SampleStream(size=size, seed=seed)
    positions = range(epoch * size, (epoch + 1) * size)
    assert sorted(stream.index(p) for p in positions) == list(range(size))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_position_is_all_that_counts(positions):
    """Neither what was asked before nor the order changes an answer."""
    stream = SampleStream(size=13, seed=4)
    for position in positions:
        fresh = SampleStream(size=13, seed=4)
        assert stream.index(position) == fresh.index(position)
        assert stream.rng(position).random() == fresh.rng(position).random()


def test_seeds_positions_and_epochs_differ():
    stream, other = SampleStream(size=50, seed=1), SampleStream(size=50, seed=2)
    order = [stream.index(p) for p in range(100)]
    assert order[:50] != [other.index(p) for p in range(50)]
    assert order[:50] != order[50:]
    draws = [s.rng(p).integers(2**62) for s in (stream, other) for p in range(500)]
    assert len(set(draws)) == 1000


def test_order_and_augmentation_draw_from_different_streams():
    stream = SampleStream(size=1000, seed=0)
    order = [stream.index(p) for p in range(1000)]
    assert stream.rng(0).permutation(1000).tolist() != order


def test_without_shuffling():
    stream = SampleStream(size=3, seed=0, shuffle=False)
    assert [stream.index(p) for p in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_known_values():
    """A stream is part of a checkpoint's meaning: it may not change from version to version."""
    stream = SampleStream(size=10, seed=0)
    assert [stream.index(p) for p in range(10)] == [0, 7, 8, 6, 9, 5, 1, 3, 2, 4]
    assert [int(stream.rng(p).integers(1000)) for p in range(5)] == [975, 200, 977, 467, 446]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_ranks_share_the_batch_of_one_process(world_size, share, start_iter):
    total = world_size * share
    alone = TrainingBatches(total_batch_size=total, start_iter=start_iter)
    together = [
        TrainingBatches(
            total_batch_size=total, start_iter=start_iter, rank=rank, world_size=world_size
        )
        for rank in range(world_size)
    ]
    for batch, *parts in itertools.islice(zip(alone, *together, strict=True), 3):
        assert [p for part in parts for p in part] == batch


@given(st.integers(1, 8), st.integers(0, 50))
def test_starting_at_an_iteration_is_skipping_to_it(total, start):
    resumed = TrainingBatches(total_batch_size=total, start_iter=start)
    skipped = itertools.islice(TrainingBatches(total_batch_size=total), start, start + 3)
    assert list(itertools.islice(resumed, 3)) == list(skipped)


@pytest.mark.parametrize(("batch", "world"), [(2, 4), (6, 4), (0, 1)])
def test_batches_that_can_not_be_shared(batch, world):
    with pytest.raises(ValueError, match=rf"IMS_PER_BATCH is {batch} for {world} process"):
        TrainingBatches(total_batch_size=batch, world_size=world)


@given(st.integers(0, 60), st.integers(1, 9))
def test_inference_parts_are_contiguous_even_and_complete(size, world_size):
    parts = [
        list(InferenceSampler(size=size, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert [i for part in parts for i in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_empty_data_set():
    with pytest.raises(ValueError, match="at least one record"):
        SampleStream(size=0, seed=0)
