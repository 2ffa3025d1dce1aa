"""Semantic FPN gives Detectron2's numbers for the same weights."""

import numpy as np
import torch
from PIL import Image

from segsuite.config import get_cfg
from segsuite.modeling import build_model
from tests import parity
from tests.helpers import requires_parity

pytestmark = requires_parity


def semantic_fpn():
    """With the keys that Detectron2's Base-RCNN-FPN.yaml sets; the others are defaults."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    return build_model(cfg).eval()


@torch.no_grad()
def test_semantic_fpn_of_detectron2():
    case = parity.ParityCase.load("d2_semantic_R_50_FPN_1x")
    model = semantic_fpn()
    model.load_state_dict(case.state_dict())
    seen = {}
    model.backbone.register_forward_hook(lambda m, args, output: seen.update(output))
    model.sem_seg_head.register_forward_hook(lambda m, args, output: seen.update(low_logits=output))
    about = case.about["inputs"][0]
    size = {"height": about["original_height"], "width": about["original_width"]}
    prediction = model([{"image": case.image(), **size}])[0]["sem_seg"]
    for name in ("p2", "p3", "p4", "p5", "p6", "low_logits"):
        case.check(name, seen[name])
    case.check("logits", prediction.full())
    file = case.about["arrays"]["argmax"]["file"]
    with Image.open(parity.ROOT / file) as image:
        equal = (np.asarray(image) == prediction.labels().numpy()).mean()
    assert equal >= case.about["tolerance"]["labels"][file]
