import pytest
import torch
from torch import nn

from segsuite.config import get_cfg
from segsuite.solver import build_gradient_clipper


def clipper(**keys):
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    for key, value in keys.items():
        cfg.SOLVER.CLIP_GRADIENTS[key] = value
    return build_gradient_clipper(cfg)


def parameters():
    params = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    params[0].grad = torch.tensor([3.0, -4.0])
    params[1].grad = torch.tensor([0.0, 0.5])
    return params  # the third has no gradient


@pytest.mark.parametrize(
    "kind, first, second",
    [
        ("value", [1.0, -1.0], [0.0, 0.5]),
        ("norm", [0.6, -0.8], [0.0, 0.5]),
        ("full_model", [3 / 25.25**0.5, -4 / 25.25**0.5], [0.0, 0.5 / 25.25**0.5]),
    ],
)
def test_kinds(kind, first, second):
    params = parameters()
    clipper(CLIP_TYPE=kind, CLIP_VALUE=1.0)(iter(params))
    torch.testing.assert_close(params[0].grad, torch.tensor(first))
    torch.testing.assert_close(params[1].grad, torch.tensor(second))
    assert params[2].grad is None


def test_norm_type():
    params = parameters()
    clipper(CLIP_TYPE="full_model", CLIP_VALUE=2.0, NORM_TYPE=float("inf"))(params)
    torch.testing.assert_close(params[0].grad, torch.tensor([1.5, -2.0]))


def test_off():
    assert build_gradient_clipper(get_cfg()) is None


def test_errors():
    with pytest.raises(KeyError, match=r"CLIP_TYPE.*Did you mean 'full_model'"):
        clipper(CLIP_TYPE="full-model")
    with pytest.raises(ValueError, match="CLIP_VALUE"):
        clipper(CLIP_VALUE=0.0)
