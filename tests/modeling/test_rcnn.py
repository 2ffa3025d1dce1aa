"""Whole instance models: what they take, return and refuse."""

import pytest
import torch

from segsuite.modeling import build_model
from segsuite.modeling.roi_heads import StandardROIHeads
from segsuite.structures import BitMasks, Instances, size_tensor

from .rcnn_models import record, small_cfg

CASCADE = {
    "MODEL__ROI_HEADS__NAME": "CascadeROIHeads",
    "MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG": True,
}
AGNOSTIC = {
    "MODEL__ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG": True,
    "MODEL__ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True,
    "MODEL__ROI_BOX_HEAD__TRAIN_ON_PRED_BOXES": True,
    "MODEL__ROI_BOX_HEAD__BBOX_REG_LOSS_TYPE": "giou",
    "MODEL__RPN__BBOX_REG_LOSS_TYPE": "diou",
    "MODEL__RPN__BOUNDARY_THRESH": 0,
    "MODEL__RPN__CONV_DIMS": [8, -1],
}
NORMS = {
    "MODEL__FPN__NORM": "GN",
    "MODEL__ROI_BOX_HEAD__NUM_CONV": 1,
    "MODEL__ROI_BOX_HEAD__NUM_FC": 1,
    "MODEL__ROI_BOX_HEAD__NORM": "GN",
    "MODEL__ROI_MASK_HEAD__NORM": "GN",
}
MODELS = {
    "FPN": ("FPN", {}),
    "C4": ("C4", {}),
    "DC5": ("DilatedC5", {}),
    "cascade": ("FPN", CASCADE),
    "agnostic": ("FPN", AGNOSTIC),
    "norms": ("FPN", NORMS),
}
RPN_LOSSES = {"loss_rpn_cls", "loss_rpn_loc"}


def build(name, **options):
    torch.manual_seed(0)
    base, chosen = MODELS[name]
    return build_model(small_cfg(base, **{**chosen, **options}))


def loss_names(name):
    stages = [f"_stage{i}" for i in range(3)] if name == "cascade" else [""]
    box = {f"{loss}{stage}" for loss in ("loss_cls", "loss_box_reg") for stage in stages}
    return box | RPN_LOSSES | {"loss_mask"}


@pytest.mark.parametrize("name", MODELS)
class TestModel:
    def test_training_with_and_without_objects(self, name):
        """Gradients reach everything; without an object they are finite and the losses of objects
        are zero."""
        model = build(name).train()
        batch = [record((8, 8, 24), (40, 16, 40)), record()]
        losses = model(batch)
        assert losses.keys() == loss_names(name)
        sum(losses.values()).backward()
        for key, p in model.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), key
        assert losses["loss_mask"] > 0 and losses["loss_rpn_loc"] > 0
        model.zero_grad()
        losses = model([record(), record(height=50, width=70)])
        sum(losses.values()).backward()
        for loss, value in losses.items():
            assert value.isfinite(), loss
            if "cls" not in loss:
                assert value == 0, loss
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    @torch.no_grad()
    def test_inference(self, name):
        model = build(name).eval()
        batch = [record(), {**record(height=50, width=70), "height": 100, "width": 140}]
        predictions = [x["instances"] for x in model(batch)]
        for found, size in zip(predictions, [(64, 96), (100, 140)], strict=True):
            assert found.image_size == found.pred_masks.image_size == size
            assert 0 < len(found) <= 100 and found.scores.diff().max() <= 0
            boxes = found.pred_boxes.tensor
            assert boxes.min() >= 0 and (boxes <= torch.tensor([*size[::-1], *size[::-1]])).all()
            assert found.pred_classes.max() < 3
        # An image's detections do not depend on the others of its size in the batch.
        (alone,) = model(batch[:1])
        (again, _) = model([batch[0], record()])
        torch.testing.assert_close(
            alone["instances"].scores, again["instances"].scores, rtol=1e-4, atol=1e-5
        )

    @torch.no_grad()
    def test_masks_of_given_boxes(self, name):
        model = build(name).eval()
        batch = [record()]
        (raw,) = model.inference(batch, do_postprocess=False)
        given = Instances(raw.image_size, pred_boxes=raw.pred_boxes, pred_classes=raw.pred_classes)
        (masks,) = model.inference(batch, [given], do_postprocess=False)
        torch.testing.assert_close(masks.pred_masks, raw.pred_masks)

    @torch.no_grad()
    def test_tensors_of_fixed_size(self, name):
        """`detect` finds what `inference` does, padded with zeros to a size known before."""
        model = build(name).eval()
        batch = [record(), record(height=50, width=70)]
        images = model.preprocess(batch)
        sizes = size_tensor(images.image_sizes, model.device)
        found, masks = model.detect(model.backbone(images.tensor), sizes)
        assert found.scores.shape == masks.shape[:2] == (2, 60)
        expected = model.inference(batch, do_postprocess=False)
        assert [len(x) for x in expected] == found.counts.tolist()
        assert found.counts.min() > 0 and found.counts.max() < 60
        for i, (x, n) in enumerate(zip(expected, found.counts.tolist(), strict=True)):
            torch.testing.assert_close(found.boxes[i, :n], x.pred_boxes.tensor)
            torch.testing.assert_close(found.scores[i, :n], x.scores)
            torch.testing.assert_close(masks[i, :n], x.pred_masks)
            assert torch.equal(found.classes[i, :n], x.pred_classes)
            assert not found.boxes[i, n:].any() and not found.scores[i, n:].any()

    @torch.no_grad()
    def test_bfloat16_autocast(self, name):
        model = build(name).eval()
        with torch.autocast("cpu", torch.bfloat16):
            (found,) = model([record()])
        assert found["instances"].scores.dtype == torch.float32
        assert len(found["instances"].pred_masks.rle()) == len(found["instances"])


def test_nothing_found():
    model = build("FPN", MODEL__ROI_HEADS__SCORE_THRESH_TEST=0.99).eval()
    with torch.no_grad():
        (found,) = model([record()])
    assert len(found["instances"]) == 0 and found["instances"].pred_masks.rle() == []


def test_bit_masks_are_targets_too():
    model = build("FPN").train()
    x = record((8, 8, 24), (40, 16, 40))
    x["instances"].gt_masks = BitMasks.from_polygon_masks(x["instances"].gt_masks, 64, 96)
    assert model([x])["loss_mask"] > 0


def test_without_masks():
    model = build("FPN", MODEL__MASK_ON=False)
    assert model.train()([record((8, 8, 24))]).keys() == loss_names("FPN") - {"loss_mask"}
    with torch.no_grad():
        (found,) = model.eval()([record()])
    assert not found["instances"].has("pred_masks")


def test_proposal_network():
    model = build("FPN", MODEL__META_ARCHITECTURE="ProposalNetwork")
    assert model.train()([record((8, 8, 24))]).keys() == RPN_LOSSES
    with torch.no_grad():
        (found,) = model.eval()([{**record(), "height": 32, "width": 48}])
    proposals = found["proposals"]
    assert 0 < len(proposals) <= 20 and proposals.image_size == (32, 48)
    assert proposals.proposal_boxes.tensor.max() <= 48


def test_errors():
    model = build("FPN").train()
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"x.jpg: training needs 'instances'.*file_name, image"):
        model([{"image": image, "file_name": "x.jpg"}])
    with pytest.raises(ValueError, match=r"'image' is \(1, 64, 64\)"):
        model([{"image": image[:1]}])


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"MODEL__KEYPOINT_ON": True}, ValueError, "no keypoint heads"),
        ({"MODEL__LOAD_PROPOSALS": True}, ValueError, "set it to False"),
        ({"MODEL__RPN__IN_FEATURES": ["p7"]}, KeyError, "MODEL.RPN.IN_FEATURES"),
        ({"MODEL__ROI_HEADS__IN_FEATURES": ["res7"]}, KeyError, "MODEL.ROI_HEADS.IN_FEATURES"),
        ({"MODEL__ROI_HEADS__NAME": "CascadeROIHeads"}, ValueError, "CLS_AGNOSTIC_BBOX_REG"),
        ({**CASCADE, "MODEL__ROI_HEADS__IOU_THRESHOLDS": [0.6]}, ValueError, "must agree"),
        ({"MODEL__ROI_HEADS__NAME": "Res5ROIHeads"}, ValueError, "pools from one feature"),
        ({"MODEL__RPN__BBOX_REG_LOSS_TYPE": "l2"}, KeyError, "MODEL.RPN.BBOX_REG_LOSS_TYPE"),
        ({"MODEL__ROI_BOX_HEAD__NUM_FC": 0}, ValueError, "NUM_CONV and NUM_FC"),
    ],
)
def test_configuration_errors(options, error, message):
    with pytest.raises(error, match=message):
        build("FPN", **options)


@pytest.mark.parametrize("missing", ["mask_pooler", "mask_head"])
def test_masks_need_a_pooler_and_a_head(missing):
    built = build("FPN").roi_heads
    parts = {name: getattr(built, name) for name in ("box_pooler", "box_head", "box_predictor")}
    masks = {"mask_pooler": built.mask_pooler, "mask_head": built.mask_head, missing: None}
    sampling = {"num_classes": built.num_classes, "proposal_matcher": built.proposal_matcher}
    with pytest.raises(ValueError, match=f"{missing} is None"):
        StandardROIHeads(in_features=built.in_features, **parts, **masks, **sampling)
