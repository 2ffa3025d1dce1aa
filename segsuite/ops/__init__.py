"""Operators of the compiled extension, each with the PyTorch reference that serves without it."""

from segsuite.ops._library import extension_status

__all__ = ["extension_status"]
