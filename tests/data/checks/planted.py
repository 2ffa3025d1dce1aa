"""What the tests of planted damage share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segsuite.data.checks import Report


def contents(folder: Path) -> dict[Path, bytes]:
    """The content of each file below `folder`."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_found(
    planted: Mapping[tuple[str, str], str], report: Report, dataset: str | None = None
) -> None:
    """All damage was found, and nothing else of the data set is called an error.

    Args:
        planted: how the damage was done, by its kind and where it is.
        dataset: None for all of them.
    """
    for (kind, where), how in planted.items():
        assert where in report.found(kind), (kind, where, how)
    damaged = {where for _, where in planted}
    for finding in report.to_dict()["findings"]:
        if finding["severity"] == "error" and dataset in (None, finding["dataset"]):
            assert {item["where"] for item in finding["items"]} <= damaged, finding
