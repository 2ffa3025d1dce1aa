"""Evaluators that a configuration adds to the one of the data set."""

from __future__ import annotations

import pytest

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, MetadataCatalog
from segsuite.evaluation import (
    EVALUATOR_REGISTRY,
    DatasetEvaluator,
    DatasetEvaluators,
    SemSegEvaluator,
    build_evaluator,
)


@pytest.fixture
def count(registered):
    @registered(EVALUATOR_REGISTRY)
    class Count(DatasetEvaluator):
        """The images, in units of `per`."""

        def __init__(self, cfg, dataset_name, output_dir, *, per=1):
            self.dataset_name, self.per = dataset_name, per

        def reset(self):
            self.images = 0

        def process(self, inputs, outputs):
            self.images += len(inputs)

        def evaluate(self):
            return {"count": {"images": self.images / self.per}}

    return Count


@pytest.fixture
def bare():
    DatasetCatalog.register("bare", lambda: [{}])
    yield MetadataCatalog.get("bare")
    DatasetCatalog.remove("bare")


def test_beside_the_one_of_the_data_set(datasets_root, count):
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 6
    cfg.merge_from_list(["TEST.EVALUATORS", "[{'Count': {'PER': 2}}]"])
    evaluator = build_evaluator(cfg, "shapes_val")
    assert isinstance(evaluator, DatasetEvaluators)
    evaluator.reset()
    results = evaluator.evaluate()
    assert results["count"] == {"images": 0.0} and "mIoU" in results["sem_seg"]
    cfg.TEST.EVALUATORS = ("sem_seg",)
    assert isinstance(build_evaluator(cfg, "shapes_val"), SemSegEvaluator)


def test_alone_where_the_data_set_asks_for_none(bare, count):
    cfg = get_cfg()
    cfg.TEST.EVALUATORS = ("Count",)
    evaluator = build_evaluator(cfg, "bare")
    assert isinstance(evaluator, count) and evaluator.dataset_name == "bare"
    evaluator.reset()
    evaluator.process([{}, {}], [{}, {}])
    assert evaluator.evaluate() == {"count": {"images": 2}}


@pytest.mark.parametrize(
    "entries, message",
    [
        (("Cuont",), "'Cuont' is not in the EVALUATOR registry. Did you mean 'Count'"),
        (({"Count": {"PRE": 2}},), "TEST.EVALUATORS: Count has no argument PRE. Did you mean PER"),
        ((), "bare' has no evaluator_type; .* or name evaluators in TEST.EVALUATORS"),
    ],
)
def test_errors(bare, count, entries, message):
    cfg = get_cfg()
    cfg.TEST.EVALUATORS = entries
    with pytest.raises(ValueError if not entries else KeyError, match=message):
        build_evaluator(cfg, "bare")
