from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn

from segsuite.acceleration import accelerate, accelerated
from segsuite.config import load_config
from segsuite.engine import DefaultTrainer
from segsuite.engine.compiling import compile_model
from segsuite.errors import ConfigError
from segsuite.modeling.backbone.fpn import FPN
from segsuite.modeling.backbone.resnet import BasicBlock, ResNet

from .tiny import lines, load, run, tiny_config

LEVELS = ("res2", "res3")


def block():
    return BasicBlock(3, 4, norm="FrozenBN")


def pyramid():
    options = {"stem_out_channels": 4, "res2_out_channels": 4, "norm": "FrozenBN"}
    bottom_up = ResNet(depth=18, out_features=LEVELS, **options)
    return FPN(bottom_up=bottom_up, in_features=LEVELS, out_channels=4)


class Model(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        features = self.backbone(x)
        features = features if isinstance(features, dict) else {"block": features}
        return sum(y.mean() for y in features.values())


@pytest.fixture
def compilations(monkeypatch):
    """How often something was compiled: by Dynamo alone, whose graphs run as they are."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    yield compiled
    torch._dynamo.reset()


def images(*size):
    return torch.rand(size).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "backbone", [block, pytest.param(pyramid, marks=pytest.mark.slow)], ids=["block", "pyramid"]
)
def test_sizes_do_not_compile_again(compilations, backbone):
    """Once for training and once for evaluations, however many there are; the same numbers, under
    the same names."""
    torch.manual_seed(0)
    plain = Model(backbone())
    model = copy.deepcopy(plain)
    compile_model(model, "backbone")
    accelerate(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert not any("forward" in vars(m) for m in model.modules())
    for size in ((2, 3, 64, 96), (2, 3, 96, 64), (3, 3, 128, 32)):
        x = images(*size)
        expected, found = plain(x), model(x)
        torch.testing.assert_close(found, expected)
        want = torch.autograd.grad(expected, tuple(plain.parameters()))
        got = torch.autograd.grad(found, tuple(model.parameters()))
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-6)
    assert len(compilations) == 1
    model.eval()
    for _ in range(2):
        with torch.no_grad(), accelerated(model):
            for size in ((2, 3, 64, 96), (2, 3, 96, 128)):
                x = images(*size)
                torch.testing.assert_close(model(x), plain(x))
    model.train()(images(2, 3, 32, 64)).backward()
    assert len(compilations) == 2


def test_what_compiles():
    def compiled(what):
        model = Model(nn.ReLU())
        compile_model(model, what)
        return [name for name, m in model.named_modules() if m._compiled_call_impl is not None]

    assert compiled(False) == []
    assert compiled(True) == [""]
    assert compiled("backbone") == ["backbone"]
    with pytest.raises(ConfigError, match="'heads'; it can be False, True or 'backbone'"):
        compile_model(Model(nn.ReLU()), "heads")
    with pytest.raises(ConfigError, match="ReLU has no module of that name"):
        compile_model(nn.ReLU(), "backbone")


def test_the_configuration_names_the_values():
    assert load_config(tiny_config(), ["MODEL.COMPILE", "backbone"]).MODEL.COMPILE == "backbone"
    with pytest.raises(
        ConfigError, match=r"MODEL\.COMPILE can be False, True or 'backbone'.*'all'"
    ):
        load_config(tiny_config(), ["MODEL.COMPILE", "all"])


@pytest.mark.slow
def test_a_run(tmp_path):
    """It is resumed, evaluated by averaged weights, and read by those who do not compile."""

    def train(iterations, resume=False):
        options = ["MODEL.COMPILE", "backbone", "SOLVER.MAX_ITER", iterations]
        options += ["OUTPUT_DIR", str(tmp_path), "DATALOADER.NUM_WORKERS", 0]
        return run(tiny_config(), options, resume=resume)

    train(3)
    trainer = train(6, resume=True)
    assert trainer.iter == 6
    cfg = load_config(tiny_config(), ["OUTPUT_DIR", str(tmp_path)])
    plain = DefaultTrainer.build_model(cfg)
    assert list(load(tmp_path / "model_final.pth")["model"]) == list(plain.state_dict())
    results = DefaultTrainer.test_weights(cfg)
    assert lines(tmp_path)[-1]["sem_seg/mIoU"] == pytest.approx(results["sem_seg"]["mIoU"])
