"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
# Real images and reference values, which are not part of the repository.
SHARED = Path(os.environ.get("SEGSUITE_SHARED", REPO.parent / "shared"))


def requires_shared(path: str) -> pytest.MarkDecorator:
    """Skip, visibly, where the shared folder or file `path` is missing: "data/camvid"."""
    return pytest.mark.skipif(
        not (SHARED / path).exists(), reason=f"{SHARED / path} is missing (set SEGSUITE_SHARED)"
    )


requires_camvid = requires_shared("data/camvid")
requires_coco_tiny = requires_shared("data/coco_tiny")
requires_parity = requires_shared("parity")
