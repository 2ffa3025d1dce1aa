"""Small reusable modules: convolution blocks, norms, shape descriptions."""

from torch import cat
from torch.nn import BatchNorm2d, ConvTranspose2d, Linear
from torch.nn.functional import interpolate
from torchvision.ops import batched_nms, nms

# PyTorch's and torchvision's own, and RoIAlign, under the names that Detectron2's layers have.
from segsuite.ops import RoIAlign as ROIAlign

from .all_reduce import differentiable_all_reduce_sum
from .aspp import ASPP
from .cnn_block_base import CNNBlockBase
from .conv import Conv2d
from .depthwise_separable_conv import DepthwiseSeparableConv2d
from .frozen_batch_norm import FrozenBatchNorm2d
from .joined_conv import conv1x1_of_joined, sum_of_upsampled_convs
from .layer_norm import LayerNorm2d, set_layer_norm_eps
from .norm import get_norm
from .pyramid_pooling import PooledConv2d, PyramidPooling
from .resize import BilinearResize
from .shape_spec import ShapeSpec
from .sync_batch_norm import SyncBatchNorm2d

__all__ = [
    "ASPP",
    "BatchNorm2d",
    "BilinearResize",
    "CNNBlockBase",
    "Conv2d",
    "ConvTranspose2d",
    "DepthwiseSeparableConv2d",
    "FrozenBatchNorm2d",
    "LayerNorm2d",
    "Linear",
    "PooledConv2d",
    "PyramidPooling",
    "ROIAlign",
    "ShapeSpec",
    "SyncBatchNorm2d",
    "batched_nms",
    "cat",
    "conv1x1_of_joined",
    "differentiable_all_reduce_sum",
    "get_norm",
    "interpolate",
    "nms",
    "set_layer_norm_eps",
    "sum_of_upsampled_convs",
]
