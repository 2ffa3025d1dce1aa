import logging

import numpy as np
import pytest

from segsuite.predict import Predictor, fitting
from tests.finished_runs import tiny_run

LARGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
WINDOWS = ["TEST.SLIDING_WINDOW.SIZE", [64, 96], "TEST.SLIDING_WINDOW.OVERLAP", 0.0]
LIMIT = [*WINDOWS, "TEST.SLIDING_WINDOW.MEMORY_LIMIT"]


@pytest.fixture
def warnings(caplog):
    """The log's texts."""
    tiny_run()  # which sets up the log
    caplog.set_level(logging.WARNING, logger="segsuite.predict.fitting")
    logger = logging.getLogger("segsuite")
    before, logger.propagate = logger.propagate, True
    yield lambda: [r.getMessage() for r in caplog.records if r.name == "segsuite.predict.fitting"]
    logger.propagate = before


def logits(overrides, image=LARGE):
    return Predictor(tiny_run(), overrides)(image).outputs["sem_seg"].logits


def test_a_low_limit_gives_what_windows_give(warnings):
    predictor = Predictor(tiny_run(), [*LIMIT, 1])
    chosen = predictor(LARGE).outputs["sem_seg"].logits
    assert chosen.equal(logits([*WINDOWS, "TEST.SLIDING_WINDOW.ENABLED", True]))
    assert not chosen.equal(logits([*LIMIT, 1000]))
    predictor(LARGE)
    (message,) = warnings()  # once for each size
    assert "300 x 400 pixels" in message and "MEMORY_LIMIT" in message
    assert "more than 1 MiB" in message and "windows of 64 x 96" in message


def test_small_images_and_large_limits_change_nothing(warnings):
    assert logits([*LIMIT, 1], LARGE[:64, :96]).equal(logits([], LARGE[:64, :96]))
    assert logits([*LIMIT, 1000]).equal(logits([]))
    assert not warnings()


@pytest.mark.parametrize("free, cut", [(2 * 2**20, True), (2**33, False), (None, False)])
def test_half_of_what_is_free(free, cut, warnings, monkeypatch):
    monkeypatch.setattr(fitting, "free_memory", lambda device: free)
    expected = ["TEST.SLIDING_WINDOW.ENABLED", cut]
    assert logits(WINDOWS).equal(logits([*WINDOWS, *expected]))
    assert len(warnings()) == cut and (not cut or "half of what is free" in warnings()[0])


def test_models_that_can_not_be_measured_see_the_whole(warnings, monkeypatch):
    def fails(model, record):
        raise RuntimeError("aten::nonzero")

    monkeypatch.setattr(fitting, "peak_activation_bytes", fails)
    assert logits([*LIMIT, 1]).equal(logits([]))
    assert "is unknown (aten::nonzero)" in warnings()[0]
