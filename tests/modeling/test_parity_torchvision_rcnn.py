"""torchvision's Mask R-CNN, converted while loading, gives its numbers."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segsuite.checkpoint import load_weights
from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.structures import decode_masks
from tests.helpers import REPO, requires_parity
from tests.parity import ROOT, ParityCase

pytestmark = [requires_parity, pytest.mark.slow]

LEVELS = {"p2": "0", "p3": "1", "p4": "2", "p5": "3", "p6": "pool"}


@torch.no_grad()
@pytest.mark.parametrize(
    "name, recipe",
    [
        ("tv_maskrcnn_resnet50_fpn", "mask_rcnn_R_50_FPN.yaml"),
        ("tv_maskrcnn_resnet50_fpn_v2", "mask_rcnn_R_50_FPN_v2.yaml"),
    ],
)
def test_mask_rcnn_of_torchvision(tmp_path, name, recipe):
    case = ParityCase.load(name)
    torch.save(case.state_dict(), tmp_path / "weights.pth")
    options = ["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NUM_CLASSES", 90]
    model = build_model(load_config(REPO / "configs/torchvision" / recipe, options)).eval()
    report = load_weights(model, tmp_path / "weights.pth")
    assert report.source == "torchvision Mask R-CNN"
    assert report.missing == report.unexpected == []

    # torchvision resizes floats; the mapper, as Detectron2, resizes bytes and antialiases.
    size = case.about["inputs"][0]["transformed_image_size"]
    image = case.image()
    scale = min(400 / min(image.shape[1:]), 640 / max(image.shape[1:]))
    resized = F.interpolate(
        image[None].float(), scale_factor=scale, mode="bilinear", recompute_scale_factor=True
    )[0]
    assert list(resized.shape[1:]) == size
    records = [{"image": resized}]
    images = model.preprocess(records)
    case.check("input", images.tensor)
    features = model.backbone(images.tensor)
    logits, deltas = model.proposal_generator.rpn_head([features[level] for level in LEVELS])
    for i, (level, theirs) in enumerate(LEVELS.items()):
        case.check(f"fpn.{theirs}", features[level])
        case.check(f"rpn.objectness.{theirs}", logits[i])
        case.check(f"rpn.deltas.{theirs}", deltas[i])

    proposals, _ = model.proposal_generator(images, features)
    expected = torch.from_numpy(case.arrays["proposals.boxes"])
    distance = torch.cdist(proposals[0].proposal_boxes.tensor, expected, p=float("inf"))
    tolerance = case.about["tolerance"]["lists"]["img0.proposals"]
    assert (distance.min(dim=0).values < 0.05).float().mean() >= tolerance["matched"]

    heads, boxes = model.roi_heads, expected[case.arrays["roi.index"]]
    pooled = heads.box_pooler([features[level] for level in heads.in_features], [boxes])
    hidden = heads.box_head(pooled)
    scores, offsets = heads.box_predictor(hidden)
    case.check("roi.pooled", pooled)
    case.check("roi.hidden", hidden)
    # torchvision has the background first, and boxes for it.
    case.check("roi.cls_logits", torch.cat([scores[:, -1:], scores[:, :-1]], dim=1))
    stored = torch.from_numpy(case.arrays["roi.deltas.sub"])[:, 2:]  # every third, from the sixth
    error = (offsets[:, 2::3] - stored).abs().max() / stored.abs().max()
    assert error <= case.about["tolerance"]["dense"]

    (found,) = model.inference(records, do_postprocess=False)
    tolerance = case.about["tolerance"]["lists"]["img0.detections"]["rows"]
    expected = case.arrays["pred_boxes"]
    error = np.abs(found.pred_boxes.tensor.numpy() - expected).max() / expected.max()
    assert error <= tolerance
    assert np.abs(found.scores.numpy() - case.arrays["final.scores"]).max() <= tolerance
    assert np.array_equal(found.pred_classes.numpy() + 1, case.arrays["final.labels"])
    masks = found.pred_masks.numpy()
    case.check("masks.prob", torch.from_numpy(masks[:8]))
    bits = np.unpackbits(case.arrays["masks.bits"], axis=1)[:, : 28 * 28].reshape(-1, 28, 28)
    assert ((masks >= 0.5) != bits).mean() < 1e-3

    records[0].update(height=case.image().shape[1], width=case.image().shape[2])
    (final,) = model.inference(records)
    assert np.abs(final.pred_boxes.tensor.numpy() - case.arrays["final.boxes"]).max() <= (
        tolerance * case.arrays["final.boxes"].max()
    )
    rles = json.loads((ROOT / f"{name}.extra.json").read_text())["rle"]["img0"]
    wanted = decode_masks(rles, *final.image_size)
    differing = (final.pred_masks.tensor != wanted).sum() / wanted.sum()
    assert differing <= case.about["tolerance"]["lists"]["img0.detections"]["mask_pixels"]
