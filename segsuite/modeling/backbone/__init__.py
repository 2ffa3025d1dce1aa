"""Feature extractors."""

from .backbone import Backbone
from .build import BACKBONE_REGISTRY, build_backbone
from .drn import DRN, build_drn_backbone
from .fpn import FPN, LastLevelMaxPool, build_fpn_backbone, build_resnet_fpn_backbone
from .hrnet import HRNet, build_hrnet_backbone
from .mit import MixTransformer, build_mit_backbone
from .mobilenet_v3 import MobileNetV3, build_mobilenet_backbone
from .resnet import (
    BasicBlock,
    BasicStem,
    BottleneckBlock,
    DeepLabStem,
    ResNet,
    build_resnet_backbone,
    build_resnet_deeplab_backbone,
    make_stage,
)
from .timm import TimmBackbone, build_timm_backbone
from .unet import UNetEncoder, build_unet_backbone
from .vgg import VGG, build_vgg_backbone

__all__ = [
    "BACKBONE_REGISTRY",
    "DRN",
    "FPN",
    "VGG",
    "Backbone",
    "BasicBlock",
    "BasicStem",
    "BottleneckBlock",
    "DeepLabStem",
    "HRNet",
    "LastLevelMaxPool",
    "MixTransformer",
    "MobileNetV3",
    "ResNet",
    "TimmBackbone",
    "UNetEncoder",
    "build_backbone",
    "build_drn_backbone",
    "build_fpn_backbone",
    "build_hrnet_backbone",
    "build_mit_backbone",
    "build_mobilenet_backbone",
    "build_resnet_backbone",
    "build_resnet_deeplab_backbone",
    "build_resnet_fpn_backbone",
    "build_timm_backbone",
    "build_unet_backbone",
    "build_vgg_backbone",
    "make_stage",
]
