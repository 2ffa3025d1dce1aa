"""The configuration that a run of Detectron2 writes, which lists every key, loads."""

import logging

import pytest

from segsuite.config import get_cfg

DUMPED = """
DATASETS:
  PRECOMPUTED_PROPOSAL_TOPK_TEST: 1000
  PRECOMPUTED_PROPOSAL_TOPK_TRAIN: 2000
  PROPOSAL_FILES_TEST: []
  PROPOSAL_FILES_TRAIN: []
GLOBAL:
  HACK: 1.0
MODEL:
  ANCHOR_GENERATOR:
    ANGLES:
    - - -90
      - 0
      - 90
    OFFSET: 0.5
  RESNETS:
    DEFORM_MODULATED: false
    DEFORM_NUM_GROUPS: 1
    DEFORM_ON_PER_STAGE: [false, false, false, false]
    DEPTH: 101
  RETINANET:
    BBOX_REG_WEIGHTS: &id001 [1.0, 1.0, 1.0, 1.0]
    NUM_CLASSES: 80
  ROI_KEYPOINT_HEAD:
    CONV_DIMS: [512, 512]
    NAME: KRCNNConvDeconvUpsampleHead
  RPN:
    BBOX_REG_WEIGHTS: *id001
SOLVER:
  REFERENCE_WORLD_SIZE: 0
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


@pytest.mark.parametrize(
    "key, value, why",
    [
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[False, True, True, True]", "no deformable"),
        ("SOLVER.REFERENCE_WORLD_SIZE", "8", "do not follow the number of processes"),
    ],
)
def test_keys_that_ask_for_it_are_refused(key, value, why):
    with pytest.raises(ValueError, match=f"{key} is .*{why}"):
        get_cfg().merge_from_list([key, value])


def test_other_unknown_keys_are_still_refused():
    with pytest.raises(KeyError, match=r"MODEL\.RETINA"):
        get_cfg().merge_from_list(["MODEL.RETINA", "1"])
