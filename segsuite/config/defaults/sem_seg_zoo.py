"""Further keys of MODEL.SEM_SEG_HEAD, and the backbones of semantic architectures."""

from ..node import CfgNode as CN
from ..node import optional
from .model import MODEL

SEM_SEG_HEAD = MODEL.SEM_SEG_HEAD
# DeepLabV3 and V3+. Detectron2 adds these keys in its DeepLab project.
SEM_SEG_HEAD.ASPP_CHANNELS = optional(int)
# For output stride 16; the paper doubles them for 8.
SEM_SEG_HEAD.ASPP_DILATIONS = optional(list)
SEM_SEG_HEAD.ASPP_DROPOUT = optional(float)
# True: with INPUT.CROP, ASPP averages windows of the size of the training crops, as in Detectron2.
# False: always the whole map.
SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP = True
# Norm behind ASPP's pooling; torchvision has "BN".
SEM_SEG_HEAD.ASPP_POOL_NORM = optional(str)
SEM_SEG_HEAD.USE_DEPTHWISE_SEPARABLE_CONV = optional(bool)
# V3: 3x3 convolutions of CONVS_DIM channels behind ASPP; torchvision has 1.
SEM_SEG_HEAD.NUM_CONVS = optional(int)
# V3+: IN_FEATURES without the coarsest, and the channels that each is reduced to.
SEM_SEG_HEAD.PROJECT_FEATURES = optional(list)
SEM_SEG_HEAD.PROJECT_CHANNELS = optional(list)
# FCN-32s/16s/8s: a learned transposed convolution brings the logits to stride 1.
SEM_SEG_HEAD.TO_FULL_SIZE = optional(bool)
# U-Net and PSPNet: pixels along each side of the last convolution, which gives the scores; 1 as in
# the papers, 3 in segmentation_models.pytorch.
SEM_SEG_HEAD.PREDICTOR_KERNEL_SIZE = optional(int)
# PSPNet: cells along each side of the grids that are averaged over.
SEM_SEG_HEAD.POOL_SCALES = optional(list)
# Whether averages are enlarged with the corners aligned: in the original, not in MMSegmentation.
SEM_SEG_HEAD.POOL_ALIGN_CORNERS = optional(bool)

MODEL.VGG = CN()
MODEL.VGG.DEPTH = optional(int)
MODEL.VGG.OUT_FEATURES = optional(list)
MODEL.VGG.NORM = optional(str)
# Channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.
MODEL.VGG.BASE_CHANNELS = optional(int)
# Of the fully connected layers, as convolutions ("fc7").
MODEL.VGG.FC_CHANNELS = optional(int)
MODEL.VGG.FC_DROPOUT = optional(float)

MODEL.DRN = CN()
MODEL.DRN.VARIANT = optional(str)
MODEL.DRN.OUT_FEATURES = optional(list)
MODEL.DRN.NORM = optional(str)
# Channels of the first layers; the last ones have 32 times as many.
MODEL.DRN.BASE_CHANNELS = optional(int)
