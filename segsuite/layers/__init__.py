"""Small reusable modules: convolution blocks, norms, shape descriptions."""

from .all_reduce import differentiable_all_reduce_sum
from .aspp import ASPP
from .conv import Conv2d
from .depthwise_separable_conv import DepthwiseSeparableConv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .joined_conv import conv1x1_of_joined, sum_of_upsampled_convs
from .layer_norm import LayerNorm2d
from .norm import get_norm
from .pyramid_pooling import PooledConv2d, PyramidPooling
from .resize import BilinearResize
from .shape_spec import ShapeSpec
from .sync_batch_norm import SyncBatchNorm2d

__all__ = [
    "ASPP",
    "BilinearResize",
    "Conv2d",
    "DepthwiseSeparableConv2d",
    "FrozenBatchNorm2d",
    "LayerNorm2d",
    "PooledConv2d",
    "PyramidPooling",
    "ShapeSpec",
    "SyncBatchNorm2d",
    "conv1x1_of_joined",
    "differentiable_all_reduce_sum",
    "get_norm",
    "sum_of_upsampled_convs",
]
