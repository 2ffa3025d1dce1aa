"""Reports of runs: one HTML file that opens from disk."""

from .build import write_report

__all__ = ["write_report"]
