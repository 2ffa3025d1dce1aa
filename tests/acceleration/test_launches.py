"""What a GPU would be given to do: which operators, on how many bytes."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segsuite.acceleration import accelerate
from segsuite.layers import Conv2d
from segsuite.modeling.backbone.fpn import FPN, LastLevelMaxPool
from segsuite.modeling.backbone.resnet import ResNet
from tests.mock_device import DEVICE, MockDevice, OnDevice, to_mock_device
from tests.ops.operators import requires_extension

pytestmark = requires_extension

LEVELS = ("res2", "res3", "res4", "res5")


def resnet_fpn(depth=50, **options):
    bottom_up = ResNet(depth=depth, out_features=LEVELS, norm="FrozenBN", **options)
    return FPN(bottom_up=bottom_up, in_features=LEVELS, top_block=LastLevelMaxPool())


class Launches(TorchDispatchMode):
    """Operators that compute on maps, by name, and the bytes that they read and write.

    A convolution on a GPU adds its bias in a launch of its own, "bias" here.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images  # the maps have as many
        self.numbers: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        outputs = [args[0]] if name == "conv_epilogue_" else tree_leaves(result)
        tensors = [x for x in (*tree_leaves(args), *outputs) if isinstance(x, torch.Tensor)]
        is_view = func.is_view or name in ("_unsafe_view", "empty_like")
        if not is_view and any(x.shape[:1] == (self.images,) for x in tensors):
            self.add(name, *tensors)
            if name == "convolution" and args[2] is not None:
                self.add("bias", result, result)
        return result

    def add(self, name, *tensors):
        self.numbers[name] += 1
        self.bytes[name] += sum(x.nbytes for x in tensors)

    @property
    def elementwise(self):
        return sum(n for name, n in self.bytes.items() if "convolution" not in name)


def step(model, x):
    """The launches of forward and backward."""
    forward, backward = Launches(len(x)), Launches(len(x))
    with forward:
        outputs = list(model(x).values())
    with backward:
        torch.autograd.backward(outputs, [torch.empty_like(y) for y in outputs])
    return forward, backward


def test_a_convolution_takes_two_launches():
    """Its own, and one that reads and writes the output once, for bias, shortcut or upper level,
    and ReLU. Nothing is stored on "meta", so the sizes are those of practice."""
    with torch.device("meta"):
        model = resnet_fpn().to(torch.bfloat16, memory_format=torch.channels_last)
        x = torch.empty(2, 3, 800, 1216, dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last)
    model.freeze(2)
    convs = sum(isinstance(m, nn.Conv2d) for m in model.modules())
    plain, plain_backward = step(model, x)
    accelerate(model)
    forward, backward = step(model, x)
    assert forward.numbers == {
        "convolution": convs,
        "conv_epilogue_": convs,
        "max_pool2d_with_indices": 2,
    }
    assert plain.numbers["conv_epilogue_"] == 16 + 3  # the blocks' ends, and the top-down additions
    assert forward.elementwise < 0.65 * plain.elementwise
    assert backward.elementwise < plain_backward.elementwise
    assert backward.numbers["threshold_backward"] == sum(
        m.activation is F.relu_ and m.weight.requires_grad
        for m in model.modules()
        if isinstance(m, Conv2d)
    )


def numbers(model, x):
    outputs = model(x)
    sum(y.square().mean() for y in outputs.values()).backward()
    return outputs, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("inference", [False, True])
def test_the_same_numbers(inference, monkeypatch):
    # PyTorch has no autocast for "meta".
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    torch.manual_seed(0)
    model = resnet_fpn(18, stem_out_channels=8, res2_out_channels=8)
    for name, value in model.state_dict().items():
        if "norm" in name or name.endswith("bias"):
            nn.init.uniform_(value, 0.5 if "running_var" in name else 0, 1)
    model.freeze(1)
    device_model = copy.deepcopy(model)
    accelerate(device_model, inference=inference)
    model.train(not inference)
    device_model.train(not inference)
    x = torch.randn(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.set_grad_enabled(not inference):
        expected = model(x) if inference else numbers(model, x)
        with MockDevice() as device:
            y = x.to(DEVICE, non_blocking=True)
            to_mock_device(device_model)
            found = device_model(y) if inference else numbers(device_model, y)
    assert not device.waits
    outputs = found if inference else found[0]
    assert all(isinstance(y, OnDevice) for y in outputs.values())
    values = torch.utils._pytree.tree_map_only(OnDevice, lambda y: y.value, found)
    for found_value, value in zip(tree_leaves(values), tree_leaves(expected), strict=True):
        torch.testing.assert_close(
            found_value, value, rtol=1e-3, atol=1e-4 * float(value.detach().abs().max())
        )
