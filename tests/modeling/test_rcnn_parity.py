"""Mask R-CNN gives the numbers of Detectron2 for the same weights."""

import json

import numpy as np
import pytest
import torch

from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.modeling.meta_arch.rcnn import postprocess
from segsuite.modeling.roi_heads.roi_heads import Foreground
from segsuite.structures import Boxes, Instances, PolygonMasks, decode_masks
from tests.helpers import REPO, SHARED, requires_parity
from tests.parity import ROOT, ParityCase

pytestmark = requires_parity

FPN = "d2_mask_rcnn_R_50_FPN_1x"


def load(name):
    case = ParityCase.load(name)
    constructor = case.about["constructor"]
    options = [*constructor["opts"], "MODEL.DEVICE", "cpu"]
    model = build_model(load_config(REPO / "configs" / constructor["config"], options))
    model.load_state_dict(case.state_dict())
    return case, model.eval()


def records(case):
    return [
        {"image": case.image(i), "height": x["original_height"], "width": x["original_width"]}
        for i, x in enumerate(case.about["inputs"])
    ]


def relative_error(got, want):
    return np.abs(np.asarray(got) - want).max() / np.abs(want).max()


def check_proposals(case, prefix, proposals):
    """The same boxes; two whose scores differ by rounding alone may have changed places."""
    tolerance = case.about["tolerance"]["lists"][f"{prefix or 'img0.'}proposals"]
    boxes, want = proposals.proposal_boxes.tensor, case.arrays[f"{prefix}proposals.boxes"]
    distance = torch.cdist(boxes.double(), torch.from_numpy(want).double(), p=torch.inf)
    limit = tolerance["rows"] * np.abs(want).max()
    assert (distance.amin(0) <= limit).double().mean() >= tolerance["matched"]
    if tolerance["same_order"]:
        logits = case.arrays[f"{prefix}proposals.logits"]
        assert relative_error(proposals.objectness_logits, logits) <= tolerance["rows"]


def check_detections(case, index, prefix, raw, final):
    tolerance = case.about["tolerance"]["lists"][f"img{index}.detections"]
    z, rows = case.arrays, tolerance["rows"]
    assert tolerance["same_order"]
    assert torch.equal(raw.pred_classes, torch.from_numpy(z[f"{prefix}pred_classes"]).long())
    assert relative_error(raw.pred_boxes.tensor, z[f"{prefix}pred_boxes"]) <= rows
    assert relative_error(raw.scores, z[f"{prefix}scores"]) <= rows
    assert relative_error(raw.pred_masks[:8], z[f"{prefix}masks.prob"]) <= rows
    assert relative_error(final.pred_boxes.tensor, z[f"{prefix}final.boxes"]) <= rows
    assert torch.equal(final.pred_classes, torch.from_numpy(z[f"{prefix}final.classes"]).long())
    rles = json.loads((ROOT / f"{case.name}.extra.json").read_text())["rle"][f"img{index}"]
    want = decode_masks(rles, *final.image_size)
    got = decode_masks(final.pred_masks.rle(), *final.image_size)
    assert torch.equal(got, final.pred_masks.tensor)
    assert (got != want).sum() / want.sum() <= tolerance["mask_pixels"]


def check_first_stage(case, model, head, prefixes, batch):
    """The features, what the RPN says of them, and its proposals."""
    images = model.preprocess(batch)
    features = model.backbone(images.tensor)
    rpn = model.proposal_generator
    logits, deltas = rpn.rpn_head([features[name] for name in rpn.in_features])
    for name, value in features.items():
        case.check(f"{head}{name}", value)
    for name, logit, delta in zip(rpn.in_features, logits, deltas, strict=True):
        case.check(f"{head}rpn.objectness.{name}", logit)
        case.check(f"{head}rpn.deltas.{name}", delta)
    proposals, losses = rpn(images, features)
    assert losses == {}
    for prefix, of_image in zip(prefixes, proposals, strict=True):
        check_proposals(case, prefix, of_image)
    return features


@torch.no_grad()
@pytest.mark.parametrize(
    "name, index",
    [
        (FPN, 0),
        pytest.param(FPN, 1, marks=pytest.mark.slow),
        pytest.param(FPN, 2, marks=pytest.mark.slow),
        pytest.param("d2_mask_rcnn_R_50_DC5_1x", 0, marks=pytest.mark.slow),
        pytest.param("d2_mask_rcnn_R_50_C4_1x", 0, marks=pytest.mark.slow),
    ],
)
def test_inference(name, index):
    case, model = load(name)
    batch = records(case)
    prefix = f"img{index}." if len(batch) > 1 else ""
    batch = [batch[index]]
    features = check_first_stage(case, model, prefix, [prefix], batch)
    check_second_stage(case, prefix, model.roi_heads, features)
    raw = model.inference(batch, do_postprocess=False)
    (final,) = postprocess(raw, batch)
    check_detections(case, index, prefix, raw[0], final)


def check_second_stage(case, prefix, roi_heads, features):
    """What is made of some of the stored proposals."""
    boxes = case.arrays[f"{prefix}proposals.boxes"][case.arrays[f"{prefix}roi.index"]]
    maps = [features[name] for name in roi_heads.in_features]
    if hasattr(roi_heads, "res5"):
        pooled = roi_heads.pooler(maps, [torch.from_numpy(boxes)])
        hidden = roi_heads.res5(pooled).mean(dim=(2, 3))
    else:
        pooled = roi_heads.box_pooler(maps, [torch.from_numpy(boxes)])
        hidden = roi_heads.box_head(pooled)
    logits, deltas = roi_heads.box_predictor(hidden)
    case.check(f"{prefix}roi.pooled", pooled)
    case.check(f"{prefix}roi.hidden", hidden)
    case.check(f"{prefix}roi.cls_logits", logits)
    case.check(f"{prefix}roi.deltas", deltas)


@torch.no_grad()
@pytest.mark.slow
def test_batch_of_different_sizes():
    case, model = load(f"{FPN}_batch3")
    batch = records(case)
    prefixes = [f"img{i}." for i in range(len(batch))]
    raw = model.inference(batch, do_postprocess=False)
    final = postprocess(raw, batch)
    for i, prefix in enumerate(prefixes):
        check_detections(case, i, prefix, raw[i], final[i])
    images = model.preprocess(batch)
    proposals, _ = model.proposal_generator(images, model.backbone(images.tensor))
    for prefix, of_image in zip(prefixes, proposals, strict=True):
        check_proposals(case, prefix, of_image)


def ground_truth(case, index):
    """The objects of an input image without crowds, scaled to the size the network sees."""
    about = case.about["inputs"][index]
    height, width = about["resized_to"]
    dataset = json.loads((SHARED / about["annotations"]).read_text())
    image = next(x for x in dataset["images"] if x["file_name"] == about["image"].split("/")[-1])
    scale = np.array([width / image["width"], height / image["height"]])
    polygons = [
        [(np.array(p).reshape(-1, 2) * scale).ravel() for p in x["segmentation"]]
        for x in dataset["annotations"]
        if x["image_id"] == image["id"] and not x["iscrowd"]
    ]
    return Instances(
        (height, width),
        gt_boxes=Boxes(torch.from_numpy(case.arrays[f"img{index}.gt_boxes"])),
        gt_classes=torch.from_numpy(case.arrays[f"img{index}.gt_classes"]).long(),
        gt_masks=PolygonMasks(polygons),
    )


@pytest.mark.slow
def test_training_losses_and_gradients():
    case, model = load(f"{FPN}_train")
    batch = [
        {"image": case.image(i), "instances": ground_truth(case, i)}
        for i in range(len(case.about["inputs"]))
    ]
    losses = model.train()(batch)
    total = sum(losses.values())
    total.backward()
    tolerance = case.about["tolerance"]
    for name, loss in {**losses, "total": total}.items():
        want = case.arrays[f"loss.{name}"]
        assert abs(loss.item() - want) <= tolerance["dense"] * abs(want), name
    parameters = dict(model.named_parameters())
    missing = sorted(name for name, p in parameters.items() if p.grad is None)
    assert missing == case.about["without_gradient"]
    for name, limits in tolerance["gradients"].items():
        gradient = parameters[name].grad.numpy()
        strides = case.about["arrays"][f"grad.{name}"]["strides"]
        sampled = gradient[tuple(slice(None, None, step) for step in strides)]
        assert relative_error(sampled, case.arrays[f"grad.{name}.sub"]) <= limits["sub"], name
        norm = np.linalg.norm(gradient.astype(np.float64))
        want = case.arrays[f"grad.{name}.stats"][-1]
        assert abs(norm - want) <= limits["stats"] * want, name


@torch.no_grad()
@pytest.mark.slow
def test_mask_targets():
    """What the mask head is trained on: the foreground among all proposals, cut from polygons."""
    case, model = load(f"{FPN}_train")
    for i in range(len(case.about["inputs"])):
        targets = ground_truth(case, i)
        proposals = Instances(
            targets.image_size,
            proposal_boxes=Boxes(torch.from_numpy(case.arrays[f"img{i}.proposals.boxes"])),
            objectness_logits=torch.from_numpy(case.arrays[f"img{i}.proposals.logits"]),
        )
        sampled = model.roi_heads.label_and_sample_proposals([proposals], [targets])
        foreground = Foreground(sampled, 80)
        boxes = foreground.rois[:, 1:]
        order = torch.from_numpy(np.lexsort(boxes.double().numpy().T[::-1]))
        assert torch.equal(boxes[order], torch.from_numpy(case.arrays[f"img{i}.fg.boxes"]))
        assert torch.equal(
            foreground.classes[order], torch.from_numpy(case.arrays[f"img{i}.fg.classes"]).long()
        )
        bits = np.unpackbits(case.arrays[f"img{i}.fg.mask_targets"], axis=1)[:, : 28 * 28]
        masks = foreground.mask_targets([targets], 28)[order].flatten(1)
        assert torch.equal(masks, torch.from_numpy(bits).bool())
