"""MODEL: architecture, backbone, heads and losses.

Keys that are `optional` are null unless they are set: the backbone, head or loss then takes the
default of its constructor, which its class documents. Heads that are Detectron2's have its own.
"""

from ..node import CfgNode as CN
from ..node import one_of, optional
from .backbones import MOBILENET, TIMM

MODEL = CN()
MODEL.META_ARCHITECTURE = "SemanticSegmentor"  # Detectron2: GeneralizedRCNN
# "auto": the first CUDA device if there is one, else the CPU. (Detectron2: "cuda".)
MODEL.DEVICE = "auto"
# A file (.pth, .safetensors, .pkl) or an address (https://, detectron2://, torchvision://NAME,
# timm://NAME) whose weights initialise the model; empty: from scratch. See docs/weights.md.
MODEL.WEIGHTS = ""
# What to take of it to start a training: ["backbone"] for the backbone alone. Empty: all there is.
MODEL.WEIGHTS_PARTS = ()
# Per channel, in INPUT.FORMAT's order, on the 0-255 scale. Their length is the number of channels
# that every backbone takes.
MODEL.PIXEL_MEAN = [103.530, 116.280, 123.675]
MODEL.PIXEL_STD = [1.0, 1.0, 1.0]
# Convolutions run on channels-last memory: the same numbers to rounding, faster on CPU and GPU.
MODEL.CHANNELS_LAST = True
# torch.compile for training and evaluation: "backbone" compiles it alone, a pyramid included, with
# sizes of images as symbols; True compiles as much of the model as can be. See docs/mask_rcnn.md.
MODEL.COMPILE = one_of(False, True, "backbone")

MODEL.EXPORTED = CN()
# What runs MODEL.WEIGHTS where that is an exported file: an execution provider of ONNX Runtime
# (CUDAExecutionProvider), a device of OpenVINO's (GPU) or of PyTorch's (cuda); empty: the CPU.
MODEL.EXPORTED.DEVICE = ""
# Threads of one of its operators; 0: as many as there are cores.
MODEL.EXPORTED.THREADS = 0

MODEL.BACKBONE = CN()
MODEL.BACKBONE.NAME = "build_resnet_backbone"
# Stages frozen from the input on: 0 none; in a ResNet 1 the stem, 2 the stem and res2, ... The
# stages of the other backbones are listed in docs/model_zoo.md.
MODEL.BACKBONE.FREEZE_AT = 2

MODEL.RESNETS = CN()
MODEL.RESNETS.DEPTH = 50
MODEL.RESNETS.OUT_FEATURES = ["res4"]
MODEL.RESNETS.NUM_GROUPS = 1
# "BN", "SyncBN", "FrozenBN", "GN" or "" for none.
MODEL.RESNETS.NORM = "FrozenBN"
MODEL.RESNETS.WIDTH_PER_GROUP = 64
# The stride of a bottleneck sits on its first 1x1 (MSRA) or on its 3x3 (torchvision, False).
MODEL.RESNETS.STRIDE_IN_1X1 = True
MODEL.RESNETS.RES4_DILATION = 1
MODEL.RESNETS.RES5_DILATION = 1
# False: torchvision's and timm's dilation, where the first block of a dilated stage keeps the
# dilation of the stage before.
MODEL.RESNETS.DILATE_FIRST_BLOCK = True
MODEL.RESNETS.RES2_OUT_CHANNELS = 256  # 64 for depths 18 and 34
# "basic": one 7x7 convolution. "deeplab": three of 3x3; 128 channels for Detectron2's R-103, 64 for
# ResNet-D.
MODEL.RESNETS.STEM_TYPE = "basic"
MODEL.RESNETS.STEM_OUT_CHANNELS = 64
# Strided shortcuts average 2x2 pixels before their 1x1 convolution, as in ResNet-D.
MODEL.RESNETS.AVG_DOWN = False
# Factors on RES5_DILATION for the blocks of res5; DeepLab has [1, 2, 4].
MODEL.RESNETS.RES5_MULTI_GRID = [1, 1, 1]

MODEL.UNET = CN()
# The 2015 encoder: channels of each level, the last one the bottleneck.
MODEL.UNET.CHANNELS = optional(list)
MODEL.UNET.NORM = optional(str)

MODEL.MOBILENET = MOBILENET
MODEL.TIMM = TIMM
MODEL.HRNET = CN()
MODEL.HRNET.WIDTH = optional(int)  # channels of the finest branch: 18, 32 or 48 in the paper
MODEL.HRNET.OUT_FEATURES = optional(list)
MODEL.HRNET.NORM = optional(str)
# Modules in the stages of two, three and four branches, and blocks in a module's branch.
MODEL.HRNET.MODULES = optional(list)
MODEL.HRNET.BLOCKS = optional(int)
# Between branches: "nearest" for ImageNet weights, "bilinear" for the authors' segmentation ones.
MODEL.HRNET.UPSAMPLING = optional(str)

MODEL.MIT = CN()
MODEL.MIT.VARIANT = optional(str)  # "b0" to "b5"
MODEL.MIT.OUT_FEATURES = optional(list)
# Epsilon of the layer norms: 1e-6 of the authors' weights, 1e-5 of Hugging Face's.
MODEL.MIT.NORM_EPS = optional(float)
MODEL.MIT.DROP_PATH_RATE = optional(float)

MODEL.SEM_SEG_HEAD = CN()
MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
# Null: "p2" to "p5" of a pyramid for SemSegFPNHead, the coarsest feature for heads that read one,
# all features for the others.
MODEL.SEM_SEG_HEAD.IN_FEATURES = optional(list)
# Label maps hold 0 .. NUM_CLASSES-1 and IGNORE_VALUE, which takes no part in loss or metrics.
# NUM_CLASSES 1 is a sigmoid instead of a softmax: label 1 is the class, and 0 is background.
MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 255
MODEL.SEM_SEG_HEAD.NUM_CLASSES = 54
# NUM_CLASSES 1: pixels whose probability is above this are predicted as the class.
MODEL.SEM_SEG_HEAD.THRESHOLD = 0.5
MODEL.SEM_SEG_HEAD.CONVS_DIM = optional(int)
# SemSegFPNHead: stride that the levels are brought to, and of the logits. (That of DeepLab's logits
# follows from IN_FEATURES.)
MODEL.SEM_SEG_HEAD.COMMON_STRIDE = optional(int)
MODEL.SEM_SEG_HEAD.NORM = optional(str)
MODEL.SEM_SEG_HEAD.DROPOUT = optional(float)
MODEL.SEM_SEG_HEAD.LOSS_WEIGHT = optional(float)
# True: predictions are upsampled by the head's stride to the size of the network's input, cropped,
# and resized from there, as in Detectron2. False: straight from the head's logits, which saves time
# and memory where images were resized.
MODEL.SEM_SEG_HEAD.RESIZE_IN_TWO_STEPS = True
# True: the head itself enlarges its logits to the size of the network's input, with the corners
# aligned, as segmentation_models.pytorch does; this takes the memory of full-size logits.
MODEL.SEM_SEG_HEAD.ALIGN_CORNERS = False
# U-Net head: channels of the decoder levels, coarse to fine; one fewer than IN_FEATURES leaves the
# logits at the finest feature's stride, more than that goes on upsampling by two.
MODEL.SEM_SEG_HEAD.DECODER_CHANNELS = optional(list)
# "nearest", "bilinear", or the "transposed" convolutions of the 2015 network.
MODEL.SEM_SEG_HEAD.UPSAMPLING = optional(str)

# OCR head: channels in which pixels and regions are compared, and the weight of the losses of the
# first prediction, which names the regions.
MODEL.OCR = CN()
MODEL.OCR.KEY_DIM = optional(int)
MODEL.OCR.REGION_LOSS_WEIGHT = optional(float)

MODEL.UPERNET = CN()
# Of each feature first: "LN" on transformers, which leave theirs without.
MODEL.UPERNET.FEATURE_NORM = optional(str)
# Epsilon of "LN": 1e-5 on Hugging Face's Swin, else 1e-6.
MODEL.UPERNET.FEATURE_NORM_EPS = optional(float)

# One name, or several joined by "+": "cross_entropy+dice". (Detectron2's DeepLab key.) Null:
# cross_entropy. There are cross_entropy, hard_pixel_mining, focal, dice, tversky, lovasz.
MODEL.SEM_SEG_HEAD.LOSS_TYPE = optional(str)
# One weight for each name in LOSS_TYPE; empty: all 1.
MODEL.SEM_SEG_HEAD.LOSS_TYPE_WEIGHTS = ()
MODEL.SEM_SEG_HEAD.LOSS = CN()
# One weight per class, or empty for none. NUM_CLASSES 1: that of the class, background has 1; or
# two, of background and the class.
MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = ()
# Fills CLASS_WEIGHTS from the training labels at start: "median_frequency", "inverse_log",
# "inverse_sqrt", or empty for off.
MODEL.SEM_SEG_HEAD.LOSS.CLASS_BALANCE = ""
MODEL.SEM_SEG_HEAD.LOSS.LABEL_SMOOTHING = optional(float)
# Share of the pixels, hardest first, that hard_pixel_mining keeps.
MODEL.SEM_SEG_HEAD.LOSS.TOP_K_PERCENT_PIXELS = optional(float)
MODEL.SEM_SEG_HEAD.LOSS.FOCAL_GAMMA = optional(float)
# Weights of false positives and false negatives in tversky.
MODEL.SEM_SEG_HEAD.LOSS.TVERSKY_ALPHA = optional(float)
MODEL.SEM_SEG_HEAD.LOSS.TVERSKY_BETA = optional(float)

# An FCN head on an earlier feature, used in training only.
MODEL.AUX_HEAD = CN()
MODEL.AUX_HEAD.ENABLED = False
MODEL.AUX_HEAD.IN_FEATURES = ["res4"]
MODEL.AUX_HEAD.CONVS_DIM = optional(int)
MODEL.AUX_HEAD.LOSS_WEIGHT = 0.4
