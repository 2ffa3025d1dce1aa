"""How often a training step and an evaluation of instances wait for the device."""

import pytest
import torch

from segsuite.modeling import build_model
from segsuite.structures import BitMasks
from tests.mock_device import MockDevice, to_mock_device

from .rcnn_models import record, small_cfg
from .test_rcnn import MODELS

SQUARES = [(8, 8, 24), (40, 16, 40), (2, 30, 20), (60, 2, 12)]


def records(count):
    """Images of several sizes, with 0 to 4 objects."""
    return [
        record(*SQUARES[: i % 5], height=64 - 6 * (i % 3), width=96 - 8 * (i % 2))
        for i in range(1, count + 1)
    ]


def build(name, **options):
    torch.manual_seed(0)
    base, chosen = MODELS[name]
    return build_model(small_cfg(base, **{**chosen, **options}))


def training_waits(model, batch):
    with MockDevice() as device:
        to_mock_device(model)
        losses = model.train()(batch)
        sum(losses.values()).backward()
    return device.waits


def inference_waits(model, batch):
    with MockDevice() as device, torch.no_grad():
        found = to_mock_device(model).eval()(batch)
    return found, device.waits


@pytest.mark.parametrize("name", MODELS)
def test_training(name):
    waits = [training_waits(build(name), records(n)) for n in (1, 2, 8)]
    print(waits)
    assert len(waits[0]) <= 3 and waits[0] == waits[1] == waits[2]
