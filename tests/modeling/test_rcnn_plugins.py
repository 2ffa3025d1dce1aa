"""Proposal generators and RoI heads of one's own, which know `Instances` and no padded tensors."""

import pytest
import torch
from torch import nn

from segsuite.modeling import build_model
from segsuite.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from segsuite.modeling.roi_heads import ROI_HEADS_REGISTRY, ROIHeads, StandardROIHeads
from segsuite.structures import Boxes, Instances

from .rcnn_models import record, small_cfg


class GridProposals(nn.Module):
    """Squares on a grid, another number for each image."""

    def __init__(self, cfg, input_shape):
        super().__init__()

    def forward(self, images, features, gt_instances=None):
        proposals = []
        for number, size in enumerate(images.image_sizes, 1):
            low = torch.cartesian_prod(
                torch.arange(0.0, 60, 20), torch.arange(0.0, 20.0 * number, 20)
            )
            x = Instances(size)
            x.proposal_boxes = Boxes(torch.cat([low, low + 24], dim=1))
            x.proposal_boxes.clip(size)
            x.objectness_logits = torch.zeros(len(low))
            proposals.append(x)
        losses = {} if gt_instances is None else {"loss_grid": features["p2"].sum() * 0}
        return proposals, losses


class MeanHeads(ROIHeads):
    """One linear layer on the mean of a box, image by image, as Detectron2 has heads written."""

    def __init__(self, cfg, input_shape):
        super().__init__(**ROIHeads.from_config(cfg, input_shape))
        self.scores = nn.Linear(input_shape["p2"].channels, self.num_classes + 1)

    def classify(self, features, instances):
        logits = []
        for feature, x in zip(features["p2"], instances, strict=True):
            boxes = (x.proposal_boxes.tensor / 4).long()
            means = [feature[:, y1 : y2 + 1, x1 : x2 + 1].mean((1, 2)) for x1, y1, x2, y2 in boxes]
            logits.append(self.scores(torch.stack(means)))
        return logits

    def losses(self, features, proposals, targets):
        assert all(len(p.gt_classes) == len(p.gt_boxes) == len(p) for p in proposals)
        logits = torch.cat(self.classify(features, proposals))
        classes = torch.cat([p.gt_classes for p in proposals])
        return {"loss_mean": nn.functional.cross_entropy(logits, classes)}

    def inference(self, features, proposals):
        found = []
        for x, logits in zip(proposals, self.classify(features, proposals), strict=True):
            scores, classes = logits.softmax(1)[:, :-1].max(dim=1)
            found.append(
                Instances(
                    x.image_size, pred_boxes=x.proposal_boxes, scores=scores, pred_classes=classes
                )
            )
        return found


class HalvedScores(StandardROIHeads):
    """Ours, with something done to the results."""

    def inference(self, features, proposals):
        instances = super().inference(features, proposals)
        for x in instances:
            x.scores = x.scores / 2
        return [x[:5] for x in instances]


class Heights(StandardROIHeads):
    """Ours, with a field more."""

    def forward_with_given_boxes(self, features, instances):
        instances = super().forward_with_given_boxes(features, instances)
        for x in instances:
            x.heights = x.pred_boxes.tensor[:, 3] - x.pred_boxes.tensor[:, 1]
        return instances


@pytest.fixture(scope="module", autouse=True)
def registered():
    classes = {
        GridProposals: PROPOSAL_GENERATOR_REGISTRY,
        MeanHeads: ROI_HEADS_REGISTRY,
        HalvedScores: ROI_HEADS_REGISTRY,
        Heights: ROI_HEADS_REGISTRY,
    }
    for cls, registry in classes.items():
        registry.register(cls)
    yield
    for cls, registry in classes.items():
        registry.remove(cls.__name__)


def build(**options):
    torch.manual_seed(0)
    return build_model(small_cfg("FPN", **options))


BATCH = [record((8, 8, 24), (40, 16, 40)), record(), {**record(height=50, width=70), "height": 100}]


@pytest.mark.parametrize("generator", ["RPN", "GridProposals"])
@pytest.mark.parametrize("heads", ["MeanHeads", "StandardROIHeads", "HalvedScores", "Heights"])
def test_lists_of_instances(generator, heads):
    model = build(
        MODEL__PROPOSAL_GENERATOR__NAME=generator,
        MODEL__ROI_HEADS__NAME=heads,
        MODEL__MASK_ON=heads != "MeanHeads",
    )
    losses = model.train()(BATCH)
    sum(losses.values()).backward()
    assert ("loss_grid" in losses) is (generator == "GridProposals")
    assert ("loss_mean" in losses) is (heads == "MeanHeads")
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():
        found = [x["instances"] for x in model.eval()(BATCH)]
    assert [x.image_size for x in found] == [(64, 96), (64, 96), (100, 70)]
    for x in found:
        assert len(x) > 0 and x.has("pred_masks") is (heads != "MeanHeads")
        assert x.has("heights") is (heads == "Heights")
        if heads == "HalvedScores":
            assert len(x) <= 5 and x.scores.max() <= 0.5
            assert len(x.pred_masks) == len(x)
