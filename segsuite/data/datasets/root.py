"""Where the data sets are."""

from __future__ import annotations

import os
from pathlib import Path


def datasets_root() -> Path:
    """The folder of the built-in data sets: ``$SEGSUITE_DATASETS``, else ``./datasets``."""
    return Path(os.environ.get("SEGSUITE_DATASETS") or "datasets")
