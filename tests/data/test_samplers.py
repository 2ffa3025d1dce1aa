from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsuite.data import (
    SAMPLER_REGISTRY,
    InferenceSampler,
    RepeatFactorTrainingSampler,
    TrainingBatches,
    TrainingSampler,
    position_rng,
)
from segsuite.data.samplers import repeat_factors

from .sampler_contract import RECORDS, SamplerContract


@given(st.integers(1, 40), st.integers(-5, 2**70), st.integers(0, 5))
def test_each_epoch_has_every_record_once(size, seed, epoch):
    stream = TrainingSampler(size=size, seed=seed)
    positions = range(epoch * size, (epoch + 1) * size)
    assert sorted(stream.index(p) for p in positions) == list(range(size))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_position_is_all_that_counts(positions):
    """Neither what was asked before nor the order changes an answer."""
    stream = TrainingSampler(size=13, seed=4)
    for position in positions:
        fresh = TrainingSampler(size=13, seed=4)
        assert stream.index(position) == fresh.index(position)
        assert position_rng(4, position).random() == position_rng(4, position).random()


def test_seeds_positions_and_epochs_differ():
    stream, other = TrainingSampler(size=50, seed=1), TrainingSampler(size=50, seed=2)
    order = [stream.index(p) for p in range(100)]
    assert order[:50] != [other.index(p) for p in range(50)]
    assert order[:50] != order[50:]
    draws = [position_rng(seed, p).integers(2**62) for seed in (1, 2) for p in range(500)]
    assert len(set(draws)) == 1000


def test_order_and_augmentation_draw_from_different_streams():
    stream = TrainingSampler(size=1000, seed=0)
    order = [stream.index(p) for p in range(1000)]
    assert position_rng(0, 0).permutation(1000).tolist() != order


def test_without_shuffling():
    stream = TrainingSampler(size=3, seed=0, shuffle=False)
    assert [stream.index(p) for p in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_known_values():
    """A stream is part of a checkpoint's meaning: it may not change from version to version."""
    stream = TrainingSampler(size=10, seed=0)
    assert [stream.index(p) for p in range(10)] == [0, 7, 8, 6, 9, 5, 1, 3, 2, 4]
    assert [int(position_rng(0, p).integers(1000)) for p in range(5)] == [975, 200, 977, 467, 446]


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
        TrainingSampler(size=0, seed=0)


STREAMS = {
    "repeat": {"size": 9, "repeat_factors": [1, 1.5, 2.25, 1, 3.5, 1, 1, 1.2, 1]},
    "groups": {"size": 13, "groups": [True] * 9 + [False] * 4, "batch_size": 4},
    "both": {
        "size": 8,
        "repeat_factors": [1, 1, 2.5, 1, 1.5, 3, 1, 1],
        "groups": [True, False] * 4,
        "batch_size": 3,
    },
}


@pytest.mark.parametrize("kind", STREAMS)
@given(positions=st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_a_position_is_all_that_counts_in_any_stream(kind, positions):
    stream = TrainingSampler(seed=4, **STREAMS[kind])
    for position in positions:
        assert stream.index(position) == TrainingSampler(seed=4, **STREAMS[kind]).index(position)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 2**40))
def test_a_batch_is_of_one_group_and_none_is_favoured(groups, batch_size, seed):
    size = len(groups)
    stream = TrainingSampler(size=size, seed=seed, groups=groups, batch_size=batch_size)
    drawn = [stream.index(p) for p in range(batch_size * size * 3)]
    for start in range(0, len(drawn), batch_size):
        assert len({groups[i] for i in drawn[start : start + batch_size]}) == 1
    # After as many batches as there are records each has come once for every sample of a batch.
    assert all(drawn.count(i) == 3 * batch_size for i in range(size))


@given(st.lists(st.floats(1, 6), min_size=1, max_size=40), st.integers(0, 2**40))
def test_repeat_factors_are_kept_in_every_epoch(factors, seed):
    stream = TrainingSampler(size=len(factors), seed=seed, repeat_factors=factors)
    length = round(sum(factors))
    for epoch in range(2):
        drawn = [stream.index(p) for p in range(epoch * length, (epoch + 1) * length)]
        for i, factor in enumerate(factors):
            wanted = factor * length / sum(factors)
            assert abs(drawn.count(i) - wanted) < 1 + 1e-9


def test_repeat_factors_are_right_on_average():
    factors = [1, 1.25, 2.5, 1.25]
    stream = TrainingSampler(size=4, seed=0, repeat_factors=factors)
    drawn = [stream.index(p) for p in range(6 * 2000)]
    counts = [drawn.count(i) / 2000 for i in range(4)]
    assert counts == pytest.approx(factors, abs=0.04)


def test_repeat_factors_of_records():
    categories = [[0], [0, 1], [0, 0], [], [0], [0], [0], [0], [0], [0]]
    records = [{"annotations": [{"category_id": c} for c in of_image]} for of_image in categories]
    assert repeat_factors(records, 0.4)[:4] == pytest.approx([1, 2, 1, 1])
    assert repeat_factors(records, 0.4, sqrt=False)[1] == pytest.approx(4)
    assert repeat_factors(records, 0.001) == [1.0] * 10


@pytest.mark.parametrize("kind", ["groups", "both"])
def test_the_slices_of_a_batch_are_of_one_group(kind):
    """Whatever the number of processes: the batch is that of all of them together."""
    facts = STREAMS[kind]
    total, stream = facts["batch_size"], TrainingSampler(seed=1, **STREAMS[kind])
    ranks = [
        TrainingBatches(total_batch_size=total, rank=r, world_size=total) for r in range(total)
    ]
    for batch in itertools.islice(zip(*ranks, strict=False), 50):
        assert len({facts["groups"][stream.index(p)] for (p,) in batch}) == 1


def test_known_values_of_other_streams():
    drawn = {
        kind: [TrainingSampler(seed=0, **facts).index(p) for p in range(9)]
        for kind, facts in STREAMS.items()
    }
    assert drawn == {
        "repeat": [4, 3, 2, 1, 8, 4, 6, 4, 5],
        "groups": [10, 11, 12, 9, 0, 6, 7, 5, 8],
        "both": [5, 7, 1, 2, 4, 4, 3, 5, 5],
    }


class TestTrainingSampler(SamplerContract):
    name = "TrainingSampler"


class TestTrainingSamplerWithoutGroups(SamplerContract):
    name = "TrainingSampler"
    options = {"DATALOADER.ASPECT_RATIO_GROUPING": False}


class TestRepeatFactorTrainingSampler(SamplerContract):
    name = "RepeatFactorTrainingSampler"
    options = {"DATALOADER.REPEAT_THRESHOLD": 0.5}


def test_every_sampler_has_a_contract():
    contracts = SamplerContract.__subclasses__()
    assert {contract.name for contract in contracts} == set(SAMPLER_REGISTRY)


def test_a_sampler_of_plain_arguments_is_that_of_the_configuration():
    contract = TestRepeatFactorTrainingSampler()
    cfg = contract.cfg(**{"DATALOADER.ASPECT_RATIO_GROUPING": False})
    built = contract.build(**{"DATALOADER.ASPECT_RATIO_GROUPING": False})
    plain = TrainingSampler(size=17, seed=0, repeat_factors=repeat_factors(RECORDS, 0.5))
    assert [built.index(p) for p in range(50)] == [plain.index(p) for p in range(50)]
    doubled = RepeatFactorTrainingSampler(cfg, RECORDS, repeat_factors=[2.0] * 17)
    assert sorted(doubled.index(p) for p in range(34)) == sorted([*range(17)] * 2)
