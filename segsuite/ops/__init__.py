"""Operators of the compiled extension, each with the PyTorch reference that serves without it."""

from segsuite.ops._library import EXTENSION_LOADED, extension_status
from segsuite.ops.batched_nms import batched_nms
from segsuite.ops.confusion_matrix import (
    argmax_from_logits,
    confusion_matrix,
    confusion_matrix_from_logits,
)
from segsuite.ops.conv_epilogue import adds_bias_for_free, conv_epilogue_
from segsuite.ops.resize_window import resize_window
from segsuite.ops.roi_align import RoIAlign, multilevel_roi_align, roi_align

__all__ = [
    "EXTENSION_LOADED",
    "RoIAlign",
    "adds_bias_for_free",
    "argmax_from_logits",
    "batched_nms",
    "confusion_matrix",
    "confusion_matrix_from_logits",
    "conv_epilogue_",
    "extension_status",
    "multilevel_roi_align",
    "resize_window",
    "roi_align",
]
