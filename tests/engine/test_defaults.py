import argparse

import pytest

from segsuite.config import get_cfg
from segsuite.engine import default_setup


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("SOLVER", "ACCUMULATE_STEPS", 0),
        ("SOLVER", "CHECKPOINT_PERIOD", 0),
        ("LOG", "PERIOD", 0),
        ("TEST", "EVAL_PERIOD", -1),
        ("DATALOADER", "NUM_WORKERS", -1),
    ],
)
def test_counts_out_of_range(tmp_path, section, key, value):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg[section][key] = value
    with pytest.raises(ValueError, match=rf"{section}\.{key} is {value}; it must be at least"):
        default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))
