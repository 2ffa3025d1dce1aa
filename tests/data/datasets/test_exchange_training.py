"""Other programs' formats go all the way: check, doctor, training, evaluation, report."""

import pytest

import segsuite
from segsuite.data import DatasetCatalog
from segsuite.data.checks import examine_datasets

from .exports import WRITERS

NAMES = [f"trained_{format}" for format in WRITERS]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that is trained on all formats together and evaluated on each."""
    folder = tmp_path_factory.mktemp("exchange")
    register = {n: w(folder / n) for n, w in zip(NAMES, WRITERS.values(), strict=True)}
    overrides = {
        "OUTPUT_DIR": str(folder / "output"),
        "DATASETS.REGISTER": register,
        "DATASETS.TRAIN": NAMES,
        "DATASETS.TEST": NAMES,
        "MODEL.ROI_HEADS.NUM_CLASSES": 2,
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHTS": "",
        "INPUT.MIN_SIZE_TRAIN": (48,),
        "INPUT.MIN_SIZE_TEST": 48,
        "INPUT.MASK_FORMAT": "bitmask",
        "SOLVER.MAX_ITER": 2,
        "SOLVER.IMS_PER_BATCH": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "TEST.EXAMPLES": 0,
        "TEST.REPORT": False,
        "LOG.PERIOD": 1,
    }
    yield segsuite.train("smoke/mask_rcnn_shapes", overrides)
    for name in NAMES:
        DatasetCatalog.remove(name)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_trained_on_and_evaluated(run, name):
    figures = run.metrics[-1]
    assert any(key.startswith(name) and key.endswith("segm/AP") for key in figures), list(figures)


@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_finds_nothing(run, name):
    report = examine_datasets([name])
    assert not report.count("error"), report.text()
