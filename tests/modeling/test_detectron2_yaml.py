"""YAML as Detectron2 publishes it is accepted as it is: the keys, spellings and `_BASE_` paths."""

import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import META_ARCH_REGISTRY

COMMON = """
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.02
  STEPS: (60000, 80000)
  MAX_ITER: 90000
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
VERSION: 2
"""
FILES = {
    "Base-RCNN-FPN.yaml": """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE:
    NAME: "build_resnet_fpn_backbone"
  RESNETS:
    OUT_FEATURES: ["res2", "res3", "res4", "res5"]
  FPN:
    IN_FEATURES: ["res2", "res3", "res4", "res5"]
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: 1000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "StandardROIHeads"
    IN_FEATURES: ["p2", "p3", "p4", "p5"]
  ROI_BOX_HEAD:
    NAME: "FastRCNNConvFCHead"
    NUM_FC: 2
    POOLER_RESOLUTION: 7
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    POOLER_RESOLUTION: 14
"""
    + COMMON,
    "Base-RCNN-C4.yaml": """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  RPN:
    PRE_NMS_TOPK_TEST: 6000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "Res5ROIHeads"
"""
    + COMMON,
    "Base-RCNN-DilatedC5.yaml": """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  RESNETS:
    OUT_FEATURES: ["res5"]
    RES5_DILATION: 2
  RPN:
    IN_FEATURES: ["res5"]
    PRE_NMS_TOPK_TEST: 6000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "StandardROIHeads"
    IN_FEATURES: ["res5"]
  ROI_BOX_HEAD:
    NAME: "FastRCNNConvFCHead"
    NUM_FC: 2
    POOLER_RESOLUTION: 7
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    POOLER_RESOLUTION: 14
"""
    + COMMON,
}
MASK_RCNN = """
MODEL:
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  MASK_ON: True
  RESNETS:
    DEPTH: 50
"""
MODELS = {
    "mask_rcnn_R_50_FPN_1x": '_BASE_: "../Base-RCNN-FPN.yaml"' + MASK_RCNN,
    "mask_rcnn_R_50_C4_1x": '_BASE_: "../Base-RCNN-C4.yaml"' + MASK_RCNN,
    "mask_rcnn_R_50_DC5_1x": '_BASE_: "../Base-RCNN-DilatedC5.yaml"' + MASK_RCNN,
    "mask_rcnn_R_101_FPN_3x": '_BASE_: "../Base-RCNN-FPN.yaml"'
    + MASK_RCNN.replace("50", "101")
    + """SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
""",
    "mask_rcnn_X_101_32x8d_FPN_3x": """_BASE_: "../Base-RCNN-FPN.yaml"
MODEL:
  MASK_ON: True
  WEIGHTS: "detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl"
  PIXEL_STD: [57.375, 57.120, 58.395]
  RESNETS:
    STRIDE_IN_1X1: False  # this is a C2 model
    NUM_GROUPS: 32
    WIDTH_PER_GROUP: 8
    DEPTH: 101
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
""",
    "cascade_mask_rcnn_R_50_FPN_1x": '_BASE_: "../Base-RCNN-FPN.yaml"'
    + MASK_RCNN
    + """  ROI_HEADS:
    NAME: CascadeROIHeads
  ROI_BOX_HEAD:
    CLS_AGNOSTIC_BBOX_REG: True
  RPN:
    POST_NMS_TOPK_TRAIN: 2000
""",
    "rpn_R_50_FPN_1x": '_BASE_: "../Base-RCNN-FPN.yaml"'
    + MASK_RCNN.replace("MODEL:", 'MODEL:\n  META_ARCHITECTURE: "ProposalNetwork"').replace(
        "MASK_ON: True", "MASK_ON: False"
    )
    + """  RPN:
    POST_NMS_TOPK_TEST: 2000
""",
}


@pytest.mark.parametrize("name", MODELS)
def test_published_text(tmp_path, name):
    for base, text in FILES.items():
        (tmp_path / base).write_text(text)
    path = tmp_path / "models" / f"{name}.yaml"
    path.parent.mkdir()
    path.write_text(MODELS[name])
    cfg = load_config(path)
    assert cfg.DATASETS.TRAIN == ("coco_2017_train",)
    with torch.device("meta"):
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    keys = model.state_dict().keys()
    assert "proposal_generator.rpn_head.anchor_deltas.weight" in keys
    assert ("roi_heads.mask_head.predictor.weight" in keys) is cfg.MODEL.MASK_ON
    if name.startswith("cascade"):
        assert "roi_heads.box_head.2.fc1.weight" in keys
        assert "roi_heads.box_predictor.2.bbox_pred.weight" in keys
