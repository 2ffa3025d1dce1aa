"""DeepLab gives the numbers of Detectron2 and torchvision for the same weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from segsuite.checkpoint import convert
from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.modeling.meta_arch.preprocessing import preprocess_images
from tests.helpers import REPO, requires_parity
from tests.parity import ROOT, ParityCase

from .test_parity import IMAGENET, normalized

pytestmark = requires_parity

CROP_128x256 = [
    *("INPUT.CROP.ENABLED", True),
    *("INPUT.CROP.TYPE", "absolute"),
    *("INPUT.CROP.SIZE", [128, 256]),
]


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    "name, recipe, options",
    [
        ("d2_deeplab_v3_R_103", "deeplab_v3_R_103", []),
        ("d2_deeplab_v3_plus_R_103", "deeplab_v3_plus_R_103", []),
        (
            "d2_deeplab_v3_plus_R_103_pool",
            "deeplab_v3_plus_R_103",
            CROP_128x256,
        ),
    ],
)
def test_deeplab_of_detectron2(name, recipe, options):
    """Detectron2's names, unchanged, up to labels at the size of the original image."""
    case = ParityCase.load(name)
    options = [*options, "MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 19]
    model = build_model(load_config(REPO / "configs/_base_" / f"{recipe}.yaml", options)).eval()
    model.load_state_dict(case.state_dict())
    about = case.about["inputs"][0]
    record = {
        "image": case.image(),
        "height": about["original_height"],
        "width": about["original_width"],
    }
    images = preprocess_images(
        [record], model.pixel_mean, model.pixel_std, model.backbone.size_divisibility
    )
    features = model.backbone(images.tensor)
    for feature, value in features.items():
        case.check(feature, value)
    case.check("low_logits", model.sem_seg_head(features))
    prediction = model([record])[0]["sem_seg"]
    case.check("logits", prediction.full())
    labels = np.asarray(Image.open(ROOT / f"{name}.argmax.png"))
    share = (prediction.labels().numpy() == labels).mean()
    assert share >= case.about["tolerance"]["labels"][f"{name}.argmax.png"]


@torch.no_grad()
def test_deeplab_of_torchvision():
    case = ParityCase.load("tv_deeplabv3_resnet50")
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 21]
    model = build_model(load_config(REPO / "configs/_base_/deeplab_v3.yaml", options)).eval()
    model.load_state_dict(convert(case.state_dict()).weights)
    image = normalized(case, *IMAGENET)
    features = model.backbone(image)
    case.check("backbone.aux", features["res4"])
    case.check("backbone.out", features["res5"])
    for name, head in [("out", model.sem_seg_head), ("aux", model.aux_head)]:
        case.check(name, F.interpolate(head(features), image.shape[-2:], mode="bilinear"))
