"""N processes give the losses, gradients and statistics of one with the same total batch."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from segsuite.layers import Conv2d
from segsuite.modeling.losses import SEM_SEG_LOSS_REGISTRY, AccumulatedBatch, SemSegCriterion
from segsuite.utils import comm
from tests.processes import run_group

LOSSES = dict.fromkeys(SEM_SEG_LOSS_REGISTRY, 1.0)


def step(indices):
    """One forward and backward pass on images `indices` of a fixed batch of four."""
    torch.manual_seed(0)
    images = 3 * torch.randn(4, 3, 12, 16) + 50
    targets = torch.randint(0, 5, (4, 24, 32))
    targets[1, :12] = 255
    targets[3] = 255
    model = nn.Sequential(
        Conv2d(3, 8, 3, stride=2, norm="SyncBN", activation=F.relu),
        Conv2d(8, 8, 3, norm="SyncBN", activation=F.relu),
        Conv2d(8, 5, 1),
    )
    criterion = SemSegCriterion(
        losses=LOSSES, class_weights=[1.0, 2.0, 0.5, 1.0, 3.0], options={"label_smoothing": 0.1}
    )
    distributed = DistributedDataParallel(model) if dist.is_initialized() else model
    losses = criterion(distributed(images[indices]), targets[indices])
    sum(losses.values()).backward()
    return {
        "losses": {name: loss.item() for name, loss in losses.items()},
        "grads": {name: p.grad.tolist() for name, p in model.named_parameters()},
        "statistics": {name: b.tolist() for name, b in model.named_buffers()},
    }


def accumulated_step(indices):
    """The gradient of pixel-wise losses on images `indices`, one image after the other."""
    torch.manual_seed(0)
    images, targets = torch.randn(4, 3, 12, 16), torch.randint(0, 5, (4, 12, 16))
    targets[1, :10] = 255
    targets[3] = 255
    model = nn.Conv2d(3, 5, 3, padding=1)
    criterion = SemSegCriterion(
        losses={"cross_entropy": 1.0, "focal": 1.0}, class_weights=[1.0, 2.0, 0.5, 1.0, 3.0]
    )
    batch = AccumulatedBatch([{"sem_seg": targets[i]} for i in indices], parts=len(indices))
    for i in indices:
        with batch.part([{"sem_seg": targets[i]}]):
            losses = criterion(model(images[i : i + 1]), targets[i : i + 1])
        (sum(losses.values()) / len(indices)).backward()
    return comm.all_reduce_mean(torch.cat([p.grad.flatten() for p in model.parameters()]))


DIVISIONS = [([0, 1], [2, 3]), ([0, 1, 2], [3])]


def steps():
    """This process's part of each division, and of an accumulated step."""
    of_rank = [step(division[comm.get_rank()]) for division in DIVISIONS]
    return [*of_rank, accumulated_step(DIVISIONS[0][comm.get_rank()])]


@pytest.fixture(scope="module")
def results():
    """[rank][division] of two processes."""
    return run_group(steps)


@pytest.mark.parametrize("division", range(len(DIVISIONS)))
def test_two_processes(results, division):
    expected = step([0, 1, 2, 3])
    first, second = results[0][division], results[1][division]
    for name, loss in expected["losses"].items():
        mean = (first["losses"][name] + second["losses"][name]) / 2
        assert mean == pytest.approx(loss, rel=1e-5), name
    assert first["grads"] == second["grads"] and first["statistics"] == second["statistics"]
    for kind in ("grads", "statistics"):
        for name, value in expected[kind].items():
            torch.testing.assert_close(
                torch.tensor(first[kind][name]), torch.tensor(value), rtol=1e-5, atol=1e-5
            )


def test_accumulated_in_two_processes(results):
    """Each pixel counts alike, in whatever process and part its image is."""
    torch.testing.assert_close(results[0][-1], accumulated_step([0, 1, 2, 3]))
