import torch

import segsuite
from segsuite.utils.env import collect_env
from tests.processes import run_python


def test_report():
    report = collect_env()
    assert segsuite.__version__ in report and torch.__version__ in report
    assert "segsuite ops" in report


def test_as_module():
    done = run_python("-m", "segsuite.utils.env")
    assert done.returncode == 0, done.stderr
    assert "segsuite ops" in done.stdout
