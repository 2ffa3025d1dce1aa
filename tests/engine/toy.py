"""A model and a data stream small enough to train in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from segsuite.engine.train_loop import SimpleTrainer


class ToyModel(nn.Module):
    """Regression with two losses, batch norm and dropout."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        )

    def forward(self, records: list[dict]) -> dict[str, torch.Tensor]:
        x = torch.stack([r["x"] for r in records])
        y = self.layers(x)
        fit = (y - x.sum(1, keepdim=True)).square().mean()
        return {"loss_fit": fit, "loss_size": 0.01 * y.abs().mean()}


def batches(start_iter: int, size: int = 4) -> Iterator[list[dict]]:
    """The batches of a stream that is a function of the position."""
    position = start_iter * size
    while True:
        batch = []
        for p in range(position, position + size):
            x = torch.randn(4, generator=torch.Generator().manual_seed(p))
            batch.append({"x": x, "image_id": p, "file_name": f"image_{p}.png"})
        yield batch
        position += size


def toy_trainer(*, dropout: float = 0.0, lr: float = 0.1, build_loader=batches, **kwargs):
    torch.manual_seed(0)
    model = ToyModel(dropout)
    groups = [{"params": list(model.parameters()), "base_lr": lr}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    return SimpleTrainer(model=model, build_loader=build_loader, optimizer=optimizer, **kwargs)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether all parameters and buffers are equal to the bit."""
    other = b.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in a.state_dict().items())
