"""PanopticFPN: losses, predictions, recipes, and Detectron2's numbers for the same weights."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.config import load_config
from segsuite.modeling import META_ARCH_REGISTRY, build_model
from segsuite.structures import Boxes, Instances, PolygonMasks, SemSegLogits
from tests import parity
from tests.helpers import REPO, requires_parity

RECIPES = sorted((REPO / "configs" / "COCO-PanopticSegmentation").glob("panoptic*.yaml"))
SMALL = ["MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
SMALL += ["MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.WEIGHTS", "", "MODEL.FPN.OUT_CHANNELS", 32]
SMALL += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.ROI_MASK_HEAD.CONV_DIM", 32]
SMALL += ["MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.RPN.POST_NMS_TOPK_TEST", 50]
SMALL += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]
SMALL += ["MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", 0.0]


def small(*options):
    torch.manual_seed(0)
    return build_model(load_config(RECIPES[-1], [*SMALL, *options]))


def record(**changes):
    square = [[8.0, 8.0, 56.0, 8.0, 56.0, 56.0, 8.0, 56.0]]
    instances = Instances(
        (64, 70),
        gt_boxes=Boxes([[8, 8, 56, 56]]),
        gt_classes=torch.tensor([3]),
        gt_masks=PolygonMasks([square]),
    )
    image = torch.randint(0, 256, (3, 64, 70), generator=torch.Generator().manual_seed(0))
    sem_seg = torch.ones(64, 70, dtype=torch.uint8)
    return {
        "file_name": "a.jpg",
        "image": image.byte(),
        "sem_seg": sem_seg,
        "instances": instances,
        **changes,
    }


def test_losses():
    losses = small()([record()])
    assert losses.keys() == {
        "loss_sem_seg",
        *("loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"),
    }
    weighted = small("MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT", 2.0)([record()])
    for name, loss in losses.items():
        factor = 2 if name in ("loss_cls", "loss_box_reg", "loss_mask") else 1
        torch.testing.assert_close(weighted[name], factor * loss)


def test_predictions():
    model = small().eval()
    with torch.inference_mode():
        predictions = model([record(height=128, width=140), record()])
    for prediction, size in zip(predictions, [(128, 140), (64, 70)], strict=True):
        assert isinstance(prediction["sem_seg"], SemSegLogits)
        assert prediction["sem_seg"].size == prediction["instances"].image_size == size
        segmentation, segments = prediction["panoptic_seg"]
        assert segmentation.shape == size and segmentation.dtype == torch.int32
        found = {i for i in segmentation.unique().tolist() if i}
        assert found <= {s["id"] for s in segments} and any(s["isthing"] for s in segments)


def test_predictions_that_are_not_merged():
    with torch.inference_mode():
        model = small("MODEL.PANOPTIC_FPN.COMBINE.ENABLED", False).eval()
        assert model([record()])[0].keys() == {"sem_seg", "instances"}
    with pytest.raises(ValueError, match=r"set MODEL.MASK_ON to True"):
        small("MODEL.MASK_ON", False)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sem_seg": torch.full((64, 70), 99)}, r"a\.jpg: 'sem_seg' holds 99 \(4480 pixels\)"),
        ({"sem_seg": torch.ones(64, 64)}, r"a\.jpg: 'sem_seg' is \(64, 64\), but 'image' is"),
    ],
)
def test_bad_label_maps(changes, message):
    with pytest.raises(ValueError, match=message):
        small()([record(**changes)])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path):
    """46.0 million parameters with ResNet-50, 65.0 with ResNet-101 (frozen norms aside)."""
    cfg = load_config(path)
    with torch.device("meta"):
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(45.97 if "R_50" in path.stem else 64.91, abs=0.01)


@requires_parity
@torch.no_grad()
def test_panoptic_fpn_of_detectron2():
    case = parity.ParityCase.load("d2_panoptic_fpn_R_50_1x")
    (path,) = (p for p in RECIPES if p.stem == "panoptic_fpn_R_50_1x")
    model = build_model(load_config(path, ["MODEL.DEVICE", "cpu"])).eval()
    model.load_state_dict(case.state_dict())
    seen = {}
    model.backbone.register_forward_hook(lambda m, args, output: seen.update(output))
    model.sem_seg_head.register_forward_hook(
        lambda m, args, output: seen.update({"sem.low_logits": output})
    )
    about = case.about["inputs"][0]
    size = {"height": about["original_height"], "width": about["original_width"]}
    prediction = model([{"image": case.image(), **size}])[0]
    for name in ("p2", "p6", "sem.low_logits"):
        case.check(name, seen[name])
    case.check("sem.final_logits", prediction["sem_seg"].full())

    segmentation, segments = prediction["panoptic_seg"]
    for name, got in (("sem.argmax", prediction["sem_seg"].labels()), ("panoptic", segmentation)):
        file = case.about["arrays"][name]["file"]
        with Image.open(parity.ROOT / file) as image:
            equal = (np.asarray(image) == got.numpy()).mean()
        assert equal >= case.about["tolerance"]["labels"][file], name
    extra = json.loads((parity.ROOT / "d2_panoptic_fpn_R_50_1x.extra.json").read_text())
    expected = extra["segments_info"]
    assert [s.keys() for s in segments] == [s.keys() for s in expected]
    for key in ("id", "isthing", "category_id"):
        assert [s[key] for s in segments] == [s[key] for s in expected]
    for got, want in zip(segments, expected, strict=True):
        assert got.get("score", 0) == pytest.approx(want.get("score", 0), abs=1e-4)
        assert got.get("area", 0) == pytest.approx(want.get("area", 0), rel=1e-3)
    assert Counter(s["isthing"] for s in segments) == {True: 34, False: 8}
