"""MODEL sections of region-based instance models: pyramid, proposals and RoI heads."""

from ..node import CfgNode as CN
from .model import MODEL

# Predict a mask for each instance.
MODEL.MASK_ON = False
# Keypoints and proposals read from files do not exist here: True is refused with an error.
MODEL.KEYPOINT_ON = False
MODEL.LOAD_PROPOSALS = False

MODEL.FPN = CN()
# What build_fpn_backbone stands on: the name of any backbone.
MODEL.FPN.BOTTOM_UP = "build_resnet_backbone"
MODEL.FPN.IN_FEATURES = []
MODEL.FPN.OUT_CHANNELS = 256
MODEL.FPN.NORM = ""
MODEL.FPN.FUSE_TYPE = "sum"  # "sum" or "avg"

MODEL.PROPOSAL_GENERATOR = CN()
MODEL.PROPOSAL_GENERATOR.NAME = "RPN"
# Proposals with a side of this many pixels or fewer are dropped.
MODEL.PROPOSAL_GENERATOR.MIN_SIZE = 0

MODEL.ANCHOR_GENERATOR = CN()
MODEL.ANCHOR_GENERATOR.NAME = "DefaultAnchorGenerator"
# Square roots of the areas, in pixels, and height / width: a list for each feature, or one for all.
MODEL.ANCHOR_GENERATOR.SIZES = [[32, 64, 128, 256, 512]]
MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[0.5, 1.0, 2.0]]
# Where in its cell the first anchor is centred, in strides: 0 is the corner, 0.5 the middle.
MODEL.ANCHOR_GENERATOR.OFFSET = 0.0

MODEL.RPN = CN()
MODEL.RPN.HEAD_NAME = "StandardRPNHead"
MODEL.RPN.IN_FEATURES = ["res4"]
# Anchors further outside of the image than this many pixels are not trained; negative: all are.
MODEL.RPN.BOUNDARY_THRESH = -1
# Overlap with an object that makes an anchor background (below the first), ignored, or foreground.
MODEL.RPN.IOU_THRESHOLDS = [0.3, 0.7]
MODEL.RPN.IOU_LABELS = [0, -1, 1]
# Anchors of each image that are trained, and the largest share of foreground among them.
MODEL.RPN.BATCH_SIZE_PER_IMAGE = 256
MODEL.RPN.POSITIVE_FRACTION = 0.5
MODEL.RPN.BBOX_REG_LOSS_TYPE = "smooth_l1"  # "smooth_l1", "giou", "diou", "ciou"
MODEL.RPN.BBOX_REG_LOSS_WEIGHT = 1.0
MODEL.RPN.BBOX_REG_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
MODEL.RPN.SMOOTH_L1_BETA = 0.0  # 0: L1
MODEL.RPN.LOSS_WEIGHT = 1.0
# Best proposals of each level before NMS, and of all levels after it.
MODEL.RPN.PRE_NMS_TOPK_TRAIN = 12000
MODEL.RPN.PRE_NMS_TOPK_TEST = 6000
MODEL.RPN.POST_NMS_TOPK_TRAIN = 2000
MODEL.RPN.POST_NMS_TOPK_TEST = 1000
MODEL.RPN.NMS_THRESH = 0.7
# Channels of the hidden 3x3 convolutions; -1: as many as the features have.
MODEL.RPN.CONV_DIMS = [-1]

MODEL.ROI_HEADS = CN()
MODEL.ROI_HEADS.NAME = "Res5ROIHeads"
MODEL.ROI_HEADS.NUM_CLASSES = 80
MODEL.ROI_HEADS.IN_FEATURES = ["res4"]
MODEL.ROI_HEADS.IOU_THRESHOLDS = [0.5]
MODEL.ROI_HEADS.IOU_LABELS = [0, 1]
MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 512
MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.25
MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.05
MODEL.ROI_HEADS.NMS_THRESH_TEST = 0.5
# Train on the ground-truth boxes too, as proposals.
MODEL.ROI_HEADS.PROPOSAL_APPEND_GT = True

MODEL.ROI_BOX_HEAD = CN()
MODEL.ROI_BOX_HEAD.NAME = ""
MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE = "smooth_l1"  # "smooth_l1", "giou", "diou", "ciou"
MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT = 1.0
MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA = 0.0
MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 14
MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = 0
MODEL.ROI_BOX_HEAD.POOLER_TYPE = "ROIAlignV2"
MODEL.ROI_BOX_HEAD.NUM_FC = 0
MODEL.ROI_BOX_HEAD.FC_DIM = 1024
MODEL.ROI_BOX_HEAD.NUM_CONV = 0
MODEL.ROI_BOX_HEAD.CONV_DIM = 256
MODEL.ROI_BOX_HEAD.NORM = ""
# One box for all classes instead of one for each.
MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = False
# Train the mask head on the boxes that the box head predicts, instead of on the proposals.
MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES = False

MODEL.ROI_BOX_CASCADE_HEAD = CN()
# For each stage. (ROI_HEADS.IOU_THRESHOLDS must be the first of these.)
MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS = (
    [10.0, 10.0, 5.0, 5.0],  # lists, as they come back from a written config.yaml
    [20.0, 20.0, 10.0, 10.0],
    [30.0, 30.0, 15.0, 15.0],
)
MODEL.ROI_BOX_CASCADE_HEAD.IOUS = (0.5, 0.6, 0.7)

MODEL.ROI_MASK_HEAD = CN()
MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION = 14
MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO = 0
MODEL.ROI_MASK_HEAD.NUM_CONV = 0
MODEL.ROI_MASK_HEAD.CONV_DIM = 256
MODEL.ROI_MASK_HEAD.NORM = ""
MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = False
MODEL.ROI_MASK_HEAD.POOLER_TYPE = "ROIAlignV2"
# Round the boxes that masks are pasted in to whole pixels, as torchvision does.
MODEL.ROI_MASK_HEAD.WHOLE_PIXEL_MASKS = False
