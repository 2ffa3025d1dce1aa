"""Further keys of MODEL.SEM_SEG_HEAD, and the backbones of semantic architectures."""

from .model import MODEL

SEM_SEG_HEAD = MODEL.SEM_SEG_HEAD
# DeepLabV3 and V3+. Detectron2 adds these keys in its DeepLab project.
SEM_SEG_HEAD.ASPP_CHANNELS = 256
# For output stride 16; the paper doubles them for 8.
SEM_SEG_HEAD.ASPP_DILATIONS = [6, 12, 18]
SEM_SEG_HEAD.ASPP_DROPOUT = 0.1
# True: with INPUT.CROP, ASPP averages windows of the size of the training crops, as in Detectron2.
# False: always the whole map.
SEM_SEG_HEAD.ASPP_POOL_TRAIN_CROP = True
# Norm behind ASPP's pooling; torchvision has "BN".
SEM_SEG_HEAD.ASPP_POOL_NORM = ""
SEM_SEG_HEAD.USE_DEPTHWISE_SEPARABLE_CONV = False
# V3: 3x3 convolutions of CONVS_DIM channels behind ASPP; torchvision has 1.
SEM_SEG_HEAD.NUM_CONVS = 0
# V3+: IN_FEATURES without the coarsest, and the channels that each is reduced to.
SEM_SEG_HEAD.PROJECT_FEATURES = ["res2"]
SEM_SEG_HEAD.PROJECT_CHANNELS = [48]
