import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from segsuite.modeling.box_regression import (
    Box2BoxTransform,
    box_regression_loss,
    check_box_loss,
)

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100
    size = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 50 + 1
    return torch.cat([low, low + size], dim=1)


@given(st.integers(0, 1 << 20), st.integers(0, 5))
def test_deltas_are_the_inverse_of_boxes(seed, count):
    transform = Box2BoxTransform(WEIGHTS)
    references, targets = boxes(count, seed), boxes(count, seed + 1)
    deltas = transform.get_deltas(references, targets)
    torch.testing.assert_close(transform.apply_deltas(deltas, references), targets)


def test_deltas_by_hand():
    transform = Box2BoxTransform((1, 2, 3, 4))
    deltas = transform.get_deltas(
        torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 10, 25, 20]])
    )
    want = [10 / 10, 2 * 5 / 20, 3 * torch.tensor(2.0).log(), 4 * torch.tensor(0.5).log()]
    assert deltas[0].tolist() == pytest.approx([float(x) for x in want])


def test_several_boxes_of_one_reference_and_the_clamp():
    transform = Box2BoxTransform((1, 1, 1, 1))
    deltas = torch.tensor([[0.0, 0, 0, 0, 0.5, 0, 100, 0]], dtype=torch.bfloat16)
    found = transform.apply_deltas(deltas, torch.tensor([[0.0, 0, 16, 16]]))
    assert found.dtype == torch.float32
    assert found[0, :4].tolist() == [0, 0, 16, 16]
    assert float(found[0, 6] - found[0, 4]) == pytest.approx(1000)


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_losses(loss_type):
    """Zero for the right offsets, more for others, a gradient even for no boxes."""
    transform = Box2BoxTransform(WEIGHTS)
    references, targets = boxes(4, 1), boxes(4, 2)

    def loss(deltas, index=slice(None)):
        return box_regression_loss(
            deltas, references[index], targets[index], transform, loss_type, 0.1
        )

    right = transform.get_deltas(references, targets)
    assert float(loss(right)) == pytest.approx(0, abs=1e-5)
    wrong = (right + 1).requires_grad_()
    loss(wrong).backward()
    assert loss(wrong).item() > 0.1 and wrong.grad.isfinite().all() and wrong.grad.any()
    none = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
    empty = loss(none, slice(0))
    empty.backward()
    assert empty.item() == 0 and none.grad.shape == (0, 4)


def test_l1_where_beta_is_0():
    transform = Box2BoxTransform(WEIGHTS)
    references, targets = boxes(4, 1), boxes(4, 2)
    deltas = torch.zeros(4, 4, dtype=torch.float64)
    loss = box_regression_loss(deltas, references, targets, transform, "smooth_l1")
    torch.testing.assert_close(loss, transform.get_deltas(references, targets).abs().sum())


def test_unknown_loss():
    with pytest.raises(KeyError, match=r"'iou' is not in the box losses \(THE.KEY"):
        check_box_loss("iou", "THE.KEY")


@pytest.mark.parametrize("loss_type", ["giou", "diou", "ciou"])
def test_iou_losses_are_torchvisions(loss_type):
    names = {"giou": "generalized", "diou": "distance", "ciou": "complete"}
    expected = getattr(torchvision.ops, f"{names[loss_type]}_box_iou_loss")
    transform = Box2BoxTransform(WEIGHTS)
    references, targets = boxes(200, 1), boxes(200, 2)
    deltas = (boxes(200, 3) / 50 - 1).requires_grad_()
    want = expected(transform.apply_deltas(deltas, references), targets, reduction="sum")
    got = box_regression_loss(deltas, references, targets, transform, loss_type)
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(loss, deltas)[0] for loss in (got, want)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_boxes_that_are_not_valid(loss_type):
    """Whatever they hold, the loss and the gradient are those of the others."""
    transform = Box2BoxTransform(WEIGHTS)
    references, targets = boxes(6, 1).view(2, 3, 4), boxes(6, 2).view(2, 3, 4)
    valid = torch.tensor([[True, False, True], [False, False, True]])
    references[0, 1], targets[0, 1], targets[1, 0] = 0, 0, torch.nan
    deltas = torch.ones(2, 3, 4, dtype=torch.float64, requires_grad=True)
    got = box_regression_loss(deltas, references, targets, transform, loss_type, 0.1, valid=valid)
    want = box_regression_loss(
        deltas[valid], references[valid], targets[valid], transform, loss_type, 0.1
    )
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(loss, deltas)[0] for loss in (got, want)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][~valid].any()
