"""The configuration that a run of Detectron2 writes, which lists every key, loads."""

import logging

import pytest

from segsuite.config import get_cfg
from segsuite.errors import ConfigError

DUMPED = """
DATASETS:
  PRECOMPUTED_PROPOSAL_TOPK_TEST: 1000
  PRECOMPUTED_PROPOSAL_TOPK_TRAIN: 2000
  PROPOSAL_FILES_TEST: []
  PROPOSAL_FILES_TRAIN: []
FLOAT32_PRECISION: ''
GLOBAL:
  HACK: 1.0
INPUT:
  COLOR_AUG_SSD: false
  GAUSSIAN_SIGMA: 10
  IGNORE_CROWD_IN_SEMANTIC: false
  IGNORE_STUFF_IN_OFFSET: true
  SMALL_INSTANCE_AREA: 4096
  SMALL_INSTANCE_WEIGHT: 3
MODEL:
  ANCHOR_GENERATOR:
    ANGLES:
    - - -90
      - 0
      - 90
    OFFSET: 0.5
  INS_EMBED_HEAD:
    NAME: PanopticDeepLabInsEmbedHead
  PANOPTIC_DEEPLAB:
    STUFF_AREA: 2048
  POINT_HEAD:
    NAME: StandardPointHead
    NUM_CLASSES: 80
  RESNETS:
    DEFORM_MODULATED: false
    DEFORM_NUM_GROUPS: 1
    DEFORM_ON_PER_STAGE: [false, false, false, false]
    DEPTH: 101
  RETINANET:
    BBOX_REG_WEIGHTS: &id001 [1.0, 1.0, 1.0, 1.0]
    NUM_CLASSES: 80
  ROI_BOX_HEAD:
    FED_LOSS_FREQ_WEIGHT_POWER: 0.5
    FED_LOSS_NUM_CLASSES: 50
    TRAIN_ON_PRED_BOXES: false
    USE_FED_LOSS: false
    USE_SIGMOID_CE: false
  ROI_KEYPOINT_HEAD:
    CONV_DIMS: [512, 512]
    NAME: KRCNNConvDeconvUpsampleHead
  ROI_MASK_HEAD:
    FC_DIM: 1024
    IN_FEATURES: [p2]
    NUM_FC: 2
    OUTPUT_SIDE_RESOLUTION: 7
    POINT_HEAD_ON: false
  RPN:
    BBOX_REG_WEIGHTS: *id001
  SEM_SEG_HEAD:
    HEAD_CHANNELS: 256
    LOSS_TOP_K: 0.2
  TENSOR_MASK:
    NUM_CLASSES: 80
SOLVER:
  BASE_LR_END: 0.0
  NUM_DECAYS: 3
  REFERENCE_WORLD_SIZE: 0
  RESCALE_INTERVAL: false
TEST:
  EXPECTED_RESULTS: []
  KEYPOINT_OKS_SIGMAS: []
VERSION: 2
VIS_PERIOD: 0
"""


def test_keys_for_what_is_not_here_are_left_out(tmp_path, caplog):
    (tmp_path / "config.yaml").write_text(DUMPED)
    cfg = get_cfg()
    before = set(cfg.MODEL)
    with caplog.at_level(logging.INFO):
        cfg.merge_from_file(tmp_path / "config.yaml")
    assert cfg.MODEL.RESNETS.DEPTH == 101 and cfg.MODEL.ANCHOR_GENERATOR.OFFSET == 0.5
    assert set(cfg.MODEL) == before and "VIS_PERIOD" not in cfg
    assert "config.yaml: MODEL.RETINANET has no meaning here and is left out" in caplog.text


def test_a_model_is_the_same_with_and_without_them(tmp_path):
    (tmp_path / "config.yaml").write_text(DUMPED)
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "config.yaml")
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 50, 0.0
    assert cfg == get_cfg()


@pytest.mark.parametrize(
    "key, value, why",
    [
        ("FLOAT32_PRECISION", "medium", "set_float32_matmul_precision"),
        ("INPUT.COLOR_AUG_SSD", "True", "INPUT.COLOR_JITTER"),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[False, True, True, True]", "no deformable"),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", (False, True, True, True), "no deformable"),
        ("MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES", "40", "federated loss"),
        ("MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER", "1.0", "federated loss"),
        ("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", "True", "federated loss"),
        ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", "True", "softmax"),
        ("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON", "True", "PointRend is not here"),
        ("SOLVER.NUM_DECAYS", "5", "SOLVER.STEPS"),
        ("SOLVER.REFERENCE_WORLD_SIZE", "8", "do not follow the number of processes"),
        ("SOLVER.RESCALE_INTERVAL", "True", "SOLVER.STEPS"),
    ],
)
def test_keys_that_ask_for_it_are_refused(key, value, why):
    with pytest.raises(ConfigError, match=f"the command line: {key} is .*{why}"):
        get_cfg().merge_from_list([key, value])


def test_values_without_effect_are_left_out_as_tuples_too():
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.RESNETS.DEFORM_ON_PER_STAGE", (False,) * 4])
    assert cfg == get_cfg()


def test_other_unknown_keys_are_still_refused():
    with pytest.raises(KeyError, match=r"MODEL\.RETINA"):
        get_cfg().merge_from_list(["MODEL.RETINA", "1"])
