"""The scripts in benchmarks/ import each other by their names, as when one of them is run."""

import sys

from tests.helpers import REPO

sys.path.append(str(REPO / "benchmarks"))
