import pytest

from segsuite.config import get_cfg
from segsuite.data import DatasetCatalog, get_records
from segsuite.data.datasets import register_from_config


@pytest.fixture
def register():
    """Register entries of DATASETS.REGISTER; they are forgotten afterwards."""
    names = []

    def add(name, entry):
        cfg = get_cfg()
        cfg.DATASETS.REGISTER[name] = dict(entry)
        names.append(name)
        register_from_config(cfg)
        return name

    yield add
    for name in names:
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)


@pytest.fixture
def read(register):
    """The records of an entry of DATASETS.REGISTER."""

    def read(entry):
        return get_records([register("exchange_read", entry)])

    return read
