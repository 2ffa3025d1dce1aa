import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.config import get_cfg
from segsuite.modeling.losses import (
    SEM_SEG_LOSS_REGISTRY,
    AccumulatedBatch,
    SemSegCriterion,
    cross_entropy,
    dice,
    focal,
    hard_pixel_mining,
    lovasz,
    num_valid,
    tversky,
)

ALL_LOSSES = list(SEM_SEG_LOSS_REGISTRY)


def problem(seed=0, n=2, k=4, h=3, w=5, ignored=0.2, dtype=torch.float64):
    """Random logits and targets, some of them ignored, and class weights."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, h, w, generator=g, dtype=dtype)
    targets = torch.randint(0, k, (n, h, w), generator=g)
    targets[torch.rand(n, h, w, generator=g) < ignored] = 255
    return logits, targets, torch.rand(k, generator=g, dtype=dtype) + 0.5


def pixels(logits, targets):
    """(class probabilities, target) of each pixel that is not ignored, as plain numbers."""
    p = logits.softmax(1).movedim(1, -1).reshape(-1, logits.shape[1]).tolist()
    return [(q, t) for q, t in zip(p, targets.flatten().tolist(), strict=True) if t != 255]


problems = st.builds(
    problem,
    seed=st.integers(0, 2**31),
    n=st.integers(1, 3),
    k=st.integers(2, 6),
    h=st.integers(1, 4),
    w=st.integers(1, 4),
    ignored=st.sampled_from([0.0, 0.3, 1.0]),
)


@given(problems, st.booleans(), st.sampled_from([0.0, 0.1]))
def test_cross_entropy(problem, weighted, smoothing):
    logits, targets, weights = problem
    k = logits.shape[1]
    w = weights.tolist() if weighted else [1.0] * k
    total, count = 0.0, 0.0
    for p, t in pixels(logits, targets):
        total -= (1 - smoothing) * w[t] * math.log(p[t])
        total -= smoothing / k * sum(w[c] * math.log(p[c]) for c in range(k))
        count += w[t]
    loss = cross_entropy(
        logits,
        targets,
        class_weights=weights if weighted else None,
        label_smoothing=smoothing,
    )
    assert loss.item() == pytest.approx(total / count if count else 0.0, rel=1e-6)


@given(problems, st.booleans(), st.sampled_from([0.0, 0.5, 2.0]))
def test_focal(problem, weighted, gamma):
    logits, targets, weights = problem
    w = weights.tolist() if weighted else [1.0] * logits.shape[1]
    total = sum(-w[t] * (1 - p[t]) ** gamma * math.log(p[t]) for p, t in pixels(logits, targets))
    count = sum(w[t] for _, t in pixels(logits, targets))
    options = {"class_weights": weights} if weighted else {}
    loss = focal(logits, targets, focal_gamma=gamma, **options)
    assert loss.item() == pytest.approx(total / count if count else 0.0, rel=1e-6)


@given(problems)
def test_dice(problem):
    logits, targets, _ = problem
    valid = pixels(logits, targets)
    losses = []
    for c in sorted({t for _, t in valid}):
        common = sum(p[c] for p, t in valid if t == c)
        total = sum(p[c] for p, _ in valid) + sum(t == c for _, t in valid)
        losses.append(1 - 2 * common / total)
    expected = sum(losses) / len(losses) if losses else 0.0
    assert dice(logits, targets).item() == pytest.approx(expected, rel=1e-6)


@given(problems, st.sampled_from([(0.3, 0.7), (0.5, 0.5), (1.0, 0.0)]))
def test_tversky(problem, weights):
    logits, targets, _ = problem
    alpha, beta = weights
    valid = pixels(logits, targets)
    losses = []
    for c in sorted({t for _, t in valid}):
        tp = sum(p[c] for p, t in valid if t == c)
        fp = sum(p[c] for p, t in valid if t != c)
        fn = sum(1 - p[c] for p, t in valid if t == c)
        losses.append(1 - tp / (tp + alpha * fp + beta * fn))
    expected = sum(losses) / len(losses) if losses else 0.0
    loss = tversky(logits, targets, tversky_alpha=alpha, tversky_beta=beta)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_tversky_of_equal_weights_is_dice():
    logits, targets, _ = problem()
    loss = tversky(logits, targets, tversky_alpha=0.5, tversky_beta=0.5)
    torch.testing.assert_close(loss, dice(logits, targets))
    with pytest.raises(ValueError, match=r"TVERSKY_ALPHA is -1 .* two weights >= 0"):
        tversky(logits, targets, tversky_alpha=-1)


@given(problems)
def test_lovasz(problem):
    """Summed by the definition: thresholds between the sorted errors, and the Jaccard loss of the
    pixels above each as mistakes."""
    logits, targets, _ = problem
    valid = pixels(logits, targets)
    losses = []
    for c in sorted({t for _, t in valid}):
        errors = [(abs((t == c) - p[c]), t == c) for p, t in valid]
        true, total, threshold = sum(t for _, t in errors), 0.0, 0.0
        for e in sorted({e for e, _ in errors}):
            missed = sum(t for x, t in errors if x >= e)
            added = sum(not t for x, t in errors if x >= e)
            total += (e - threshold) * (1 - (true - missed) / (true + added))
            threshold = e
        losses.append(total)
    expected = sum(losses) / len(losses) if losses else 0.0
    assert lovasz(logits, targets).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_lovasz_of_sure_predictions_is_one_minus_the_mean_iou():
    targets = torch.tensor([[[0, 0, 1, 1], [1, 2, 2, 255]]])
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 2, 1, 0]]])
    logits = 1000 * F.one_hot(predicted, 3).movedim(-1, 1).double()
    ious = [1 / 3, 2 / 5, 1 / 2]
    assert lovasz(logits, targets).item() == pytest.approx(1 - sum(ious) / 3)


@given(problems, st.sampled_from([0.01, 0.3, 1.0]))
def test_hard_pixel_mining(problem, share):
    logits, targets, _ = problem
    losses = sorted((-math.log(p[t]) for p, t in pixels(logits, targets)), reverse=True)
    losses += [0.0] * (targets.numel() - len(losses))
    k = max(int(share * targets.numel()), 1)
    loss = hard_pixel_mining(logits, targets, top_k_percent_pixels=share)
    assert loss.item() == pytest.approx(sum(losses[:k]) / k, rel=1e-6)


def test_hard_pixel_mining_shares_the_places_among_equals():
    """All pixels are alike when training starts from a predictor of zeros."""
    logits = torch.zeros(1, 2, 4, 5, requires_grad=True)
    targets = torch.zeros(1, 4, 5, dtype=torch.long)
    loss = hard_pixel_mining(logits, targets, top_k_percent_pixels=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad[:, 1].sum().item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_gradients(name):
    logits, targets, _ = problem()
    function = SEM_SEG_LOSS_REGISTRY.get(name)
    assert torch.autograd.gradcheck(
        lambda x: function(x, targets, ignore_index=255), logits.requires_grad_()
    )


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_everything_ignored(name):
    logits, targets, _ = problem(ignored=1.0)
    logits.requires_grad_()
    loss = SEM_SEG_LOSS_REGISTRY.get(name)(logits, targets, ignore_index=255)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_sure_predictions(name):
    """Logits as large as float32 softmax saturates at, right and wrong."""
    logits = torch.tensor([100.0, -100.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2).clone()
    logits.requires_grad_()
    targets = torch.tensor([[[0, 1], [0, 255]]])
    options = {"focal_gamma": 0.5} if name == "focal" else {}
    loss = SEM_SEG_LOSS_REGISTRY.get(name)(logits, targets, ignore_index=255, **options)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_ignored_label_may_be_a_class(name):
    logits, targets, _ = problem(ignored=0)
    function = SEM_SEG_LOSS_REGISTRY.get(name)
    without = function(logits, targets.where(targets != 0, 255), ignore_index=255)
    torch.testing.assert_close(function(logits, targets, ignore_index=0), without)


@pytest.mark.parametrize("name", ALL_LOSSES)
@pytest.mark.parametrize("weights", [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
def test_pixels_without_a_weight_take_no_part(name, weights):
    """Neither by the smoothing of labels, which for PyTorch gives other classes a share of them."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    criterion = SemSegCriterion(
        losses={name: 1.0}, class_weights=weights, options={"label_smoothing": 0.1}
    )
    targets = torch.zeros(2, 8, 8, dtype=torch.long)
    sum(criterion(logits, targets).values()).backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().max() < 1
    if name in ("cross_entropy", "hard_pixel_mining", "focal"):
        assert not logits.grad.any()
    if name == "cross_entropy":
        targets[1] = 1
        both = sum(criterion(logits, targets).values())
        alone = sum(criterion(logits[1:], targets[1:]).values())
        torch.testing.assert_close(both, alone)


class TestAccumulatedBatch:
    """The mean over the parts is the loss of the whole, wherever the ignored pixels are."""

    @pytest.mark.parametrize("name", ["cross_entropy", "focal"])
    @pytest.mark.parametrize("weights", [(), (0.0, 1.0, 5.0)])
    def test_pixels_of_all_parts_count_alike(self, name, weights):
        torch.manual_seed(0)
        targets = torch.randint(0, 3, (4, 8, 9))
        targets[1, 1:] = 255
        targets[2] = 255
        logits = torch.randn(4, 3, 8, 9, requires_grad=True)
        criterion = SemSegCriterion(
            losses={name: 1.0}, class_weights=weights, options={"label_smoothing": 0.1}
        )
        whole = sum(criterion(logits, targets).values())
        (expected,) = torch.autograd.grad(whole, logits)

        records = [{"sem_seg": labels.byte()} for labels in targets]
        batch, total = AccumulatedBatch(records, parts=4), 0.0
        for i, record in enumerate(records):
            with batch.part([record]):
                part = sum(criterion(logits[i : i + 1], targets[i : i + 1]).values()) / 4
            part.backward()
            total += part.item()
        assert total == pytest.approx(whole.item(), rel=1e-6)
        torch.testing.assert_close(logits.grad, expected)

    def test_smaller_targets_count_as_their_label_maps_do(self):
        """A head may learn at a lower resolution."""
        targets = torch.zeros(2, 8, 8, dtype=torch.long)
        targets[1, 2:] = 255
        records = [{"sem_seg": labels} for labels in targets]
        batch = AccumulatedBatch(records, parts=2)
        counts = []
        for i, record in enumerate(records):
            with batch.part([record]):
                counts.append(num_valid(targets[i : i + 1, ::2, ::2], 255).item())
        assert counts == [10.0, 10.0]  # of 16 and 4
        assert num_valid(targets[:, ::2, ::2], 255) == 20

    def test_records_without_label_maps_change_nothing(self):
        targets = torch.zeros(1, 2, 3, dtype=torch.long)
        with AccumulatedBatch([{}, {}], parts=2).part([{}]):
            assert num_valid(targets, 255) == 6

    def test_a_wrong_label_is_told_with_its_own_part(self):
        records = [{"sem_seg": torch.zeros(2, 2)}, {"sem_seg": torch.full((2, 2), 7)}]
        with AccumulatedBatch(records, parts=2).part(records[:1]):
            weights = torch.ones(3)
            assert num_valid(torch.zeros(1, 2, 2, dtype=torch.long), 255, weights) == 4


class TestCriterion:
    def test_upsamples_in_float32(self):
        logits, targets, _ = problem(h=6, w=10, dtype=torch.float32)
        low = logits[..., ::2, ::2].bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            losses = SemSegCriterion()(low, targets)
        full = F.interpolate(low.float(), (6, 10), mode="bilinear", align_corners=False)
        torch.testing.assert_close(losses, {"loss_sem_seg": cross_entropy(full, targets)})

    def test_weights_and_options(self):
        logits, targets, weights = problem(dtype=torch.float32)
        criterion = SemSegCriterion(
            losses={"focal": 0.5, "dice": 3.0},
            class_weights=weights.tolist(),
            options={"focal_gamma": 1.0, "of_another_loss": 7},
            loss_weight=2.0,
        )
        assert not criterion.state_dict()
        losses = criterion(logits, targets)
        expected = focal(logits, targets, class_weights=weights, focal_gamma=1.0)
        torch.testing.assert_close(losses["loss_sem_seg_focal"], expected)
        torch.testing.assert_close(losses["loss_sem_seg_dice"], 6 * dice(logits, targets))

    def test_from_config(self):
        cfg = get_cfg()
        head = cfg.MODEL.SEM_SEG_HEAD
        head.LOSS_TYPE, head.LOSS_TYPE_WEIGHTS = "hard_pixel_mining+dice", (1.0, 0.5)
        head.LOSS_WEIGHT, head.IGNORE_VALUE = 2.0, 11
        head.NUM_CLASSES = 2
        head.LOSS.TOP_K_PERCENT_PIXELS, head.LOSS.CLASS_WEIGHTS = 0.4, [1.0, 2.0]
        criterion = SemSegCriterion(cfg)
        assert criterion.weights == {"hard_pixel_mining": 2.0, "dice": 1.0}
        assert criterion.options["dice"] == {"ignore_index": 11}
        assert criterion.options["hard_pixel_mining"]["top_k_percent_pixels"] == 0.4
        assert criterion.class_weights.tolist() == [1, 2]

    def test_errors(self):
        with pytest.raises(KeyError, match=r"Did you mean .*dice"):
            SemSegCriterion(losses={"dise": 1.0})
        cfg = get_cfg()
        cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE_WEIGHTS = (1.0, 0.5)
        with pytest.raises(ValueError, match="2 entries, but LOSS_TYPE 'cross_entropy' names 1"):
            SemSegCriterion(cfg)
        cfg = get_cfg()
        cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = (1.0, 2.0, 3.0)
        with pytest.raises(ValueError, match=r"3 entries; .* NUM_CLASSES is 54"):
            SemSegCriterion(cfg)
