from __future__ import annotations

import logging

import pytest
import torch
from torchvision.models import resnet18

import segsuite
from segsuite.checkpoint import load_weights
from segsuite.errors import WeightsError


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), path)
    return path


def first(model):
    return next(p for p in model.parameters() if p.ndim == 4)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_filters_of_colours_are_adapted(colors, channels, caplog):
    caplog.set_level(logging.INFO)
    theirs = torch.load(colors)["conv1.weight"]
    model = segsuite.create_model(
        "unet", backbone="resnet18", num_classes=2, in_channels=channels, weights=colors
    )
    own = first(model)
    assert own.shape[1] == channels
    assert "reads 3 channels, the model has" in caplog.text
    if channels == 1:
        assert torch.allclose(own, theirs.sum(1, keepdim=True), atol=1e-6)
    else:
        repeated = torch.cat([theirs] * 3, 1)[:, :channels] * 3 / channels
        assert torch.allclose(own, repeated, atol=1e-6)
    assert model.eval()(torch.zeros(1, channels, 32, 32)).shape == (1, 2, 32, 32)


def test_other_misfits_stay_errors(colors):
    state = torch.load(colors)
    state["conv1.weight"] = state["conv1.weight"][:, :2]
    model = segsuite.create_model("unet", backbone="resnet18", num_classes=2, in_channels=4)
    with pytest.raises(WeightsError, match=r"\(64, 2, 7, 7\)\s+\(64, 4, 7, 7\)"):
        load_weights(model, "two.pth", state=state)
    with pytest.raises(WeightsError, match="Shapes that differ"):
        load_weights(model, "own.pth", strict=True, state={
            name: p[:, :3] if p.ndim == 4 and p.shape[1] == 4 else p
            for name, p in model.state_dict().items()
        })  # fmt: skip
