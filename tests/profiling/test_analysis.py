"""Costs of small networks, counted by hand."""

import pytest
import torch
from torch import nn

from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.profiling.analysis import MIB, measure_memory, module_costs, peak_bytes
from segsuite.profiling.synthetic import synthetic_batch
from tests.helpers import REPO

CPU = torch.device("cpu")


class Small(nn.Module):
    """A convolution, a matrix product, and a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(5, 5)

    def forward(self, records):
        x = self.body(records[0]["image"].float()[None])
        logits = self.head(x.movedim(1, 3))
        return {"loss": logits.sum()} if self.training else [{"sem_seg": logits}]


def test_costs_of_each_module():
    record = {"image": torch.zeros(3, 6, 8, dtype=torch.uint8)}
    model = Small()
    costs = {cost.name: cost for cost in module_costs(model, record, runs=3)}
    assert model.training
    assert list(costs) == ["", "body", "body.0", "body.1", "head", "unused"]
    pixels = 6 * 8
    figures = {name: (c.parameters, c.flops, c.activations) for name, c in costs.items()}
    convolution, product = pixels * 4 * 27, pixels * 2 * 4
    assert figures == {
        "": (4 * 27 + 10 + 30, convolution + product, pixels * 6),
        "body": (4 * 27, convolution, pixels * 4),
        "body.0": (4 * 27, convolution, pixels * 4),
        "body.1": (0, 0, 0),
        "head": (10, product, pixels * 2),
        "unused": (30, 0, 0),
    }
    assert costs["unused"].milliseconds is None
    assert 0 < costs["body.0"].milliseconds < costs["body"].milliseconds < costs[""].milliseconds
    assert [c.name for c in module_costs(model, record, depth=1, runs=1)] == [
        *("", "body", "head", "unused")
    ]


def test_peak_bytes():
    def function():
        a = torch.empty(MIB, dtype=torch.uint8)
        b = a.clone()  # two at once
        del a
        c = b[:100].clone()
        del b
        return c.clone()

    assert peak_bytes(function, CPU) == 2 * MIB
    assert peak_bytes(lambda: None, CPU) == 0
    kept = torch.zeros(MIB, dtype=torch.uint8)
    assert peak_bytes(kept.zero_, CPU) == 0


class Square(nn.Module):
    """x W with a W of 4 MiB: what each step allocates is known."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1024, 1024, bias=False)

    def forward(self, records):
        x = torch.stack([r["image"] for r in records]) @ self.layer.weight
        return {"loss": x.sum()} if self.training else [{"x": x}]


def test_memory_of_prediction_and_training():
    model = Square()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    batch = [{"image": torch.zeros(1024)} for _ in range(256)]
    memory = measure_memory(model, optimizer, batch)
    row = 4 * 1024 / MIB
    assert memory.weights == 4
    assert memory.inference == 4 + 2 * row  # the image stacked, and the product
    # Weights, momentum and gradients; the images and what is left of the product, its gradient.
    assert 4 + 4 + 4 + 256 * row <= memory.training <= 4 + 4 + 4 + 4 * 256 * row


@pytest.mark.parametrize("name", ["unet", "mask_rcnn", "panoptic_fpn"])
def test_recipes(name):
    cfg = load_config(REPO / f"configs/smoke/{name}_shapes.yaml", ["MODEL.DEVICE", "cpu"])
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model = build_model(cfg)
    batch = synthetic_batch(cfg, 64, 96, 2)
    total, *modules = module_costs(model, batch[0], depth=1, runs=1)
    assert total.parameters == sum(p.numel() for p in model.parameters())
    assert {m.name for m in modules} == dict(model.named_children()).keys()
    assert total.flops == sum(m.flops for m in modules) and total.flops > 1e6
    assert all(m.flops > 0 and m.milliseconds > 0 for m in modules)
    memory = measure_memory(model, torch.optim.SGD(model.parameters(), lr=1e-3), batch)
    parameters = 4 * total.parameters / MIB
    assert memory.weights >= parameters and memory.inference > memory.weights
    assert memory.training > memory.weights + parameters  # the gradients, at least


def test_synthetic_batch():
    cfg = load_config(REPO / "configs/smoke/panoptic_fpn_shapes.yaml")
    batch = synthetic_batch(cfg, 40, 60, 2, objects=3)
    for record in batch:
        assert record["image"].shape == (3, 40, 60) and record["sem_seg"].shape == (40, 60)
        assert set(record["sem_seg"].unique().tolist()) == {0, 1}
        instances = record["instances"]
        assert len(instances) == 3 and instances.gt_classes.max() < 5
        masks = instances.gt_masks.tensor
        areas = instances.gt_boxes.area()
        assert (masks.flatten(1).sum(1) - areas).abs().max() < 40  # to the pixel along two edges
    again = synthetic_batch(cfg, 40, 60, 2, objects=3)
    assert torch.equal(again[1]["image"], batch[1]["image"])
