"""`FrozenBatchNorm2d`: batch normalisation whose statistics and affine parameters are fixed."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class FrozenBatchNorm2d(nn.Module):
    """The affine map that a trained BatchNorm2d is in evaluation.

    Holds ``weight, bias, running_mean, running_var`` as buffers, so that a BatchNorm2d checkpoint
    loads into it, but no optimiser and no training mode touches them. A checkpoint with weight and
    bias alone (the statistics already folded in) loads as exactly that affine map.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, num_features: int, eps: float = 1e-5):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(C,) factors and (C,) summands: the layer is ``x * scale + shift``."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def _load_from_state_dict(
        self, state_dict: dict[str, torch.Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        if prefix + "weight" in state_dict and prefix + "running_var" not in state_dict:
            state_dict[prefix + "running_mean"] = torch.zeros(self.num_features)
            state_dict[prefix + "running_var"] = torch.ones(self.num_features) - self.eps
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"

    @classmethod
    def convert(cls, module: nn.Module) -> nn.Module:
        """Replace every batch norm inside `module`, itself included, by a frozen one; those without
        running statistics stay.

        Returns:
            `module`, changed in place, or the replacement if it is a batch norm itself.
        """
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            frozen = cls(module.num_features, module.eps)
            frozen.load_state_dict(module.state_dict())
            return frozen.to(module.running_mean.device)
        for name, child in module.named_children():
            setattr(module, name, cls.convert(child))
        return module
