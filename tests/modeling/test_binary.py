"""One class, NUM_CLASSES 1: a sigmoid that tells it from background, from loss to label."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import segsuite
from segsuite.config import get_cfg
from segsuite.data import Metadata
from segsuite.errors import ConfigError
from segsuite.evaluation import SemSegEvaluator, inference_on_dataset
from segsuite.evaluation.calibration import calibration_counts
from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow
from segsuite.modeling.losses import (
    SEM_SEG_LOSS_REGISTRY,
    SemSegCriterion,
    cross_entropy,
    dice,
    focal,
    hard_pixel_mining,
    lovasz,
    tversky,
)
from segsuite.structures import SemSegLogits, as_sem_seg
from tests.evaluation.helpers import Oracle

from .inference.models import model, record


def problem(seed=0, ignored=0.2):
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 1, 5, 7, generator=g, dtype=torch.float64)
    targets = torch.randint(0, 2, (2, 5, 7), generator=g)
    targets[torch.rand(2, 5, 7, generator=g) < ignored] = 255
    return logits, targets, targets != 255


class TestLosses:
    @pytest.mark.parametrize("positive_weight", [None, 3.0])
    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_cross_entropy_is_that_of_pytorch(self, positive_weight, smoothing):
        logits, targets, valid = problem()
        z, t = logits[:, 0][valid], targets[valid].double()
        smooth = t * (1 - smoothing) + smoothing / 2
        pos = None if positive_weight is None else torch.tensor(positive_weight).double()
        expected = F.binary_cross_entropy_with_logits(z, smooth, pos_weight=pos, reduction="sum")
        expected /= torch.where(t == 1, positive_weight or 1.0, 1.0).sum()
        weights = None if pos is None else torch.tensor([1.0, positive_weight]).double()
        loss = cross_entropy(logits, targets, class_weights=weights, label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected, check_dtype=False, rtol=1e-6, atol=0)

    def test_focal_is_that_of_the_paper(self):
        logits, targets, valid = problem()
        p = logits[:, 0].sigmoid()[valid]
        p = torch.where(targets[valid] == 1, p, 1 - p)
        expected = (-((1 - p) ** 2) * p.log()).mean()
        torch.testing.assert_close(focal(logits, targets).double(), expected, rtol=1e-6, atol=0)

    def test_overlaps_are_those_of_the_class_alone(self):
        logits, targets, valid = problem()
        p, t = logits[:, 0].sigmoid()[valid], (targets[valid] == 1).double()
        expected = 1 - 2 * (p * t).sum() / (p.sum() + t.sum())
        torch.testing.assert_close(dice(logits, targets), expected)
        wrong = 0.3 * (p * (1 - t)).sum() + 0.7 * ((1 - p) * t).sum()
        expected = 1 - (p * t).sum() / ((p * t).sum() + wrong)
        torch.testing.assert_close(tversky(logits, targets), expected)

    def test_lovasz_is_the_hinge(self):
        """Its definition: errors in descending order, each times the growth of the Jaccard loss."""
        logits, targets, valid = problem()
        z, t = logits[:, 0][valid].tolist(), (targets[valid] == 1).tolist()
        errors = sorted(
            ((max(0.0, 1 - (a if b else -a)), b) for a, b in zip(z, t, strict=True)),
            key=lambda pair: -pair[0],
        )
        total, before, missed, added = 0.0, 0.0, 0, 0
        for error, true in errors:
            missed, added = missed + true, added + (not true)
            jaccard = 1 - (sum(t) - missed) / (sum(t) + added)
            total, before = total + error * (jaccard - before), jaccard
        assert lovasz(logits, targets).item() == pytest.approx(total)

    def test_lovasz_without_the_class_is_the_worst_false_positive(self):
        logits, targets, _ = problem()
        background = targets.where(targets == 255, 0)
        worst = logits[:, 0][background == 0].max()
        torch.testing.assert_close(lovasz(logits, background), 1 + worst)

    def test_hard_pixels(self):
        logits, targets, valid = problem()
        losses = F.binary_cross_entropy_with_logits(
            logits[:, 0][valid], targets[valid].double(), reduction="none"
        )
        expected = losses.topk(14).values.mean()
        torch.testing.assert_close(hard_pixel_mining(logits, targets).double(), expected)

    @pytest.mark.parametrize("name", list(SEM_SEG_LOSS_REGISTRY))
    def test_each_learns(self, name):
        """From nothing known to what is where: no loss is a softmax over one class."""
        _, targets, _ = problem(ignored=0.0)
        logits = torch.zeros(2, 1, 5, 7, requires_grad=True)
        criterion = SemSegCriterion(losses={name: 1.0})
        optimizer = torch.optim.Adam([logits], lr=0.3)
        for _ in range(60):
            optimizer.zero_grad()
            sum(criterion(logits, targets).values()).backward()
            optimizer.step()
        assert torch.equal((logits[:, 0] > 0).long(), targets)

    @pytest.mark.parametrize("name", list(SEM_SEG_LOSS_REGISTRY))
    def test_gradients(self, name):
        logits, targets, _ = problem()
        function = SEM_SEG_LOSS_REGISTRY.get(name)
        assert torch.autograd.gradcheck(lambda x: function(x, targets), logits.requires_grad_())

    def test_class_weights_from_the_configuration(self):
        cfg = get_cfg()
        head = cfg.MODEL.SEM_SEG_HEAD
        head.NUM_CLASSES = 1
        for given in ([4.0], [1.0, 4.0]):
            head.LOSS.CLASS_WEIGHTS = given
            assert SemSegCriterion(cfg).class_weights.tolist() == [1.0, 4.0]
        head.LOSS.CLASS_WEIGHTS = [1.0, 2.0, 3.0]
        with pytest.raises(ConfigError, match=r"3 entries.*NUM_CLASSES is 1: that of the class"):
            SemSegCriterion(cfg)


class TestPrediction:
    logits = torch.tensor([[[-3.0, -0.5, 0.0, 0.5, 3.0]]])

    def predict(self, threshold=0.5):
        return SemSegLogits(self.logits, (1, 5), (1, 5), threshold)

    @pytest.mark.parametrize("threshold", [0.5, 0.3, 0.9])
    def test_labels_are_those_above_the_threshold(self, threshold):
        prediction = self.predict(threshold)
        p = self.logits[0].sigmoid()
        assert prediction.labels().tolist() == (p > threshold).long().tolist()
        confidence = torch.where(p > threshold, p, 1 - p)
        torch.testing.assert_close(prediction.confidence(), confidence)
        assert prediction.entropy()[0, 2] == 1 and prediction.num_labels == 2

    def test_nan_is_no_label(self):
        nan = torch.tensor([[[torch.nan, 1.0]]])
        assert SemSegLogits(nan, (1, 2), (1, 2)).labels().tolist() == [[2, 1]]

    def test_a_single_map_of_logits_of_another_model(self):
        assert as_sem_seg(self.logits).labels().tolist() == [[0, 0, 0, 1, 1]]

    def test_calibration(self):
        counts = calibration_counts(self.predict(), torch.tensor([[0, 1, 255, 1, 1]]))
        pixels, _, right = counts.sum(0).tolist()
        assert (pixels, right) == (4, 3)

    def test_threshold_of_the_configuration(self):
        with pytest.raises(ConfigError, match=r"THRESHOLD is 0\.2, but of 54 classes"):
            segsuite.create_model("unet", num_classes=54, overrides={THRESHOLD: 0.2})
        with pytest.raises(ConfigError, match=r"THRESHOLD is 1\.0; expected a probability"):
            segsuite.create_model("unet", num_classes=1, overrides={THRESHOLD: 1.0})


THRESHOLD = "MODEL.SEM_SEG_HEAD.THRESHOLD"


def binary_model(threshold=0.5, **kwargs):
    m = model(num_classes=1, **kwargs)
    m.threshold = threshold
    return m


@torch.no_grad()
@pytest.mark.parametrize("threshold", [0.5, 0.6])
def test_windows_are_the_whole_image(threshold):
    whole = binary_model(threshold, stride=4)
    sliding = SlidingWindow(whole, window_size=(64, 64), overlap=0.5)
    given = record(150, 131)
    expected, result = (m([given])[0]["sem_seg"] for m in (whole, sliding))
    assert result.logits.shape[0] == 1 and result.threshold == threshold
    assert 0 < expected.labels().float().mean() < 1
    assert torch.equal(result.labels(), expected.labels())
    for rows, logits in sliding.bands(given):
        assert (logits.argmax(0) != expected.labels()[rows]).float().mean() < 1e-3


@torch.no_grad()
def test_the_mean_of_the_versions_is_that_of_the_probabilities():
    m = binary_model(0.4, convs=1)
    m.sem_seg_head.predictor.weight.mul_(30)  # probabilities that round to 0 and 1
    given = record(60, 90)
    result = SemSegAugmentation(m)([given])[0]["sem_seg"]
    mirrored = m([{**given, "image": given["image"].flip(-1)}])[0]["sem_seg"].full().flip(-1)
    expected = (m([given])[0]["sem_seg"].full().sigmoid() + mirrored.sigmoid()) / 2
    assert result.logits.shape == (1, 60, 90) and result.logits.isfinite().all()
    torch.testing.assert_close(result.logits.sigmoid(), expected, rtol=1e-4, atol=1e-6)
    assert result.threshold == 0.4


def test_regions_are_the_class_and_background():
    """Attention to a single region would give every pixel the same."""
    net = segsuite.create_model("hrnet_ocr", num_classes=1).eval()
    head = net.sem_seg_head
    features = {
        name: torch.randn(1, s.channels, 8, 8)
        for name, s in zip(head.in_features, head.in_shapes, strict=True)
    }
    seen = []
    head.attention.register_forward_hook(lambda module, args, out: seen.append(out))
    head(features)
    assert (seen[0].amax((2, 3)) > seen[0].amin((2, 3))).any()


def test_panoptic_models_need_stuff():
    with pytest.raises(ConfigError, match=r"NUM_CLASSES is 1; PanopticFPN .* GeneralizedRCNN"):
        segsuite.create_model(
            "panoptic_fpn", num_classes=2, overrides={"MODEL.SEM_SEG_HEAD.NUM_CLASSES": 1}
        )


def test_plain_network():
    net = segsuite.create_model("deeplabv3", backbone="resnet18", num_classes=1)
    x = torch.randn(2, 3, 64, 64)
    logits, aux = net(x, return_aux=True)
    assert logits.shape == aux.shape == (2, 1, 64, 64)
    targets = torch.randint(0, 2, (2, 64, 64))
    losses = net.losses(x, targets)
    assert all(0.2 < loss < 2 for loss in losses.values()) and len(losses) == 2


class TestFigures:
    def results(self, target, prediction, names=("roof",), **options):
        logits = torch.where(prediction[None] == 1, 2.0, -2.0)
        sample = {"file_name": "a.jpg", "image_id": "a", "sem_seg_gt": target, "logits": logits}
        height, width = target.shape
        sample |= {"source_size": (height, width), "height": height, "width": width}
        evaluator = SemSegEvaluator("roofs", class_names=names, **options)
        return inference_on_dataset(Oracle(), [[sample]], evaluator)["sem_seg"]

    def test_means_are_those_of_the_class(self):
        target = torch.tensor([[0, 0, 0, 0, 1, 1, 255, 0]])
        prediction = torch.tensor([[0, 0, 1, 0, 1, 0, 1, 0]])
        results = self.results(target, prediction)
        assert results["IoU-roof"] == results["mIoU"] == pytest.approx(100 / 3)
        assert results["Dice-roof"] == results["mDice"] == pytest.approx(50)
        assert results["ACC-roof"] == results["mACC"] == pytest.approx(50)
        assert results["IoU-background"] == pytest.approx(100 * 4 / 6)
        assert results["pACC"] == pytest.approx(100 * 5 / 7)
        assert results["means"].startswith("of roof alone")
        two = self.results(target, prediction, names=("ground", "roof"))
        assert two["IoU-roof"] == results["IoU-roof"] and "means" not in two
        assert two["mIoU"] == pytest.approx((100 / 3 + 100 * 4 / 6) / 2)

    def test_nothing_to_find_is_never_100(self):
        nothing = torch.zeros(2, 3, dtype=torch.long)
        results = self.results(nothing, nothing)
        assert results["mIoU"] != results["mIoU"] and results["IoU-background"] == 100
        results = self.results(torch.full((2, 3), 255), nothing)
        assert results["mIoU"] != results["mIoU"]

    def test_files(self, tmp_path):
        target = torch.tensor([[0, 1], [1, 1]])
        results = self.results(target, target * 0, output_dir=tmp_path, save_predictions=True)
        assert results["mIoU"] == 0 and (tmp_path / "predictions" / "a.png").exists()


def test_names_and_colours_of_labels():
    one = Metadata("a").set(stuff_classes=["roof"], stuff_colors=[(1, 2, 3)])
    assert one.semantic_labels() == ["background", "roof"]
    assert one.semantic_colors()[1] == (1, 2, 3) and len(one.semantic_colors()) == 2
    assert Metadata("b").set(stuff_classes=["Background"]).semantic_labels()[0] == "not Background"
    three = Metadata("c").set(stuff_classes=["a", "b", "c"])
    assert three.semantic_labels() == ["a", "b", "c"] and len(three.semantic_colors()) == 3
