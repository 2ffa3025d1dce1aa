"""Operators of the compiled extension, each with the PyTorch reference that serves without it."""

from segsuite.ops._library import extension_status
from segsuite.ops.confusion_matrix import (
    argmax_from_logits,
    confusion_matrix,
    confusion_matrix_from_logits,
)

__all__ = [
    "argmax_from_logits",
    "confusion_matrix",
    "confusion_matrix_from_logits",
    "extension_status",
]
