"""What every sampler of the training stream must do. A new one takes a class of a few lines."""

from __future__ import annotations

import pickle

from segsuite.config import CfgNode, get_cfg
from segsuite.data import PositionSampler, build_train_sampler

RECORDS = [
    {
        "file_name": f"{i}.png",
        "image_id": i,
        "width": 30 + 20 * (i % 3 > 0),
        "height": 40,
        "annotations": [{"category_id": int(i % 5 == 0)}],
    }
    for i in range(17)
]


class SamplerContract:
    """Subclass it as ``class TestMySampler(SamplerContract)`` and set what follows.

    Attributes:
        name: the sampler's name in the registry.
        options: further keys and values of the configuration.
        covers: whether every record comes sooner or later.
    """

    name: str
    options: dict[str, object] = {}
    covers = True

    def cfg(self, **settings: object) -> CfgNode:
        cfg = get_cfg()
        cfg.DATALOADER.SAMPLER_TRAIN, cfg.SOLVER.IMS_PER_BATCH = self.name, 4
        for key, value in {**self.options, **settings}.items():
            cfg.merge_from_list([key, value])
        return cfg

    def build(self, **settings: object) -> PositionSampler:
        return build_train_sampler(self.cfg(**settings), RECORDS)

    def test_a_position_is_all_that_counts(self):
        """Neither what was asked before nor the order changes an answer."""
        sampler = self.build()
        for position in [0, 5, 5, 16, 17, 10**9, 3, 10**6 + 1, 18, 0]:
            assert sampler.index(position) == self.build().index(position)

    def test_indices_are_those_of_records(self):
        sampler = self.build()
        for position in [*range(200), *range(10**12, 10**12 + 200)]:
            index = sampler.index(position)
            assert type(index) is int and 0 <= index < len(RECORDS)

    def test_every_record_comes(self):
        sampler = self.build()
        if self.covers:
            assert {sampler.index(p) for p in range(400)} == set(range(len(RECORDS)))

    def test_seeds_differ(self):
        one, other = self.build(), self.build(SEED=1)
        assert [one.index(p) for p in range(100)] != [other.index(p) for p in range(100)]

    def test_workers_that_are_spawned_get_a_copy(self):
        sampler = self.build()
        copied = pickle.loads(pickle.dumps(sampler))
        assert [copied.index(p) for p in range(100)] == [sampler.index(p) for p in range(100)]
