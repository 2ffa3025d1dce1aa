"""Semantic FPN gives Detectron2's numbers for the same weights."""

import numpy as np
import torch
from PIL import Image

from segsuite.config import load_config
from segsuite.modeling import build_model
from tests import parity
from tests.helpers import REPO, requires_parity

pytestmark = requires_parity


@torch.no_grad()
def test_semantic_fpn_of_detectron2():
    case = parity.ParityCase.load("d2_semantic_R_50_FPN_1x")
    recipe = REPO / "configs" / "Misc" / "semantic_R_50_FPN_1x.yaml"
    model = build_model(load_config(recipe, ["MODEL.DEVICE", "cpu"])).eval()
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
