import subprocess
import sys

import torch

import segsuite
from segsuite.utils.env import collect_env


def test_report():
    report = collect_env()
    assert segsuite.__version__ in report and torch.__version__ in report
    assert "segsuite ops" in report


def test_as_module():
    done = subprocess.run(
        [sys.executable, "-m", "segsuite.utils.env"], capture_output=True, text=True, check=True
    )
    assert "segsuite ops" in done.stdout
