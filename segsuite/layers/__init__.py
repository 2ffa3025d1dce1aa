"""Small reusable modules: convolution blocks, norms, shape descriptions."""

from .all_reduce import differentiable_all_reduce_sum
from .aspp import ASPP
from .conv import Conv2d
from .depthwise_separable_conv import DepthwiseSeparableConv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .norm import get_norm
from .shape_spec import ShapeSpec
from .sync_batch_norm import SyncBatchNorm2d

__all__ = [
    "ASPP",
    "Conv2d",
    "DepthwiseSeparableConv2d",
    "FrozenBatchNorm2d",
    "ShapeSpec",
    "SyncBatchNorm2d",
    "differentiable_all_reduce_sum",
    "get_norm",
]
