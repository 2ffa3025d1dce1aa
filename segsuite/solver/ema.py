"""`ModelEMA`: a running average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from segsuite.errors import ConfigError, WeightsError
from segsuite.utils.sharded_tensors import copy_whole_, is_sharded


class ModelEMA:
    """An exponential moving average of the parameters of `model`, beside a copy of its buffers.

    Update number t (from 0) sets each floating-point parameter's average to
    ``d * average + (1 - d) * parameter`` with ``d = min(decay, (1 + t) / (10 + t))``. The ramp
    keeps the random start out of the average of a short run (TensorFlow's
    ExponentialMovingAverage with ``num_updates``). Everything else is copied.

    `model` keeps its tensors from here on: build the average when the model is on its device and in
    its memory format, and load weights into it in place.

    Raises:
        ConfigError: `decay` is not in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0.0 <= decay < 1.0:
            raise ConfigError(f"the decay of a running average must be in [0, 1); it is {decay}")
        self.decay = decay
        self.updates = 0
        self._applied = False
        # Tensors shared by several modules come once, under their first name.
        persistent = model.state_dict().keys()
        tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
        tensors |= {name: buf for name, buf in model.named_buffers() if name in persistent}
        self._model = tensors
        self._average = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        self._averaged = [
            name
            for name, tensor in tensors.items()
            if isinstance(tensor, nn.Parameter) and tensor.is_floating_point()
        ]
        self._copied = [name for name in tensors if name not in set(self._averaged)]

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights into the average; call it after each optimiser step."""
        assert not self._applied, "the model holds the average, not its own weights"
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        if self._averaged:
            torch._foreach_lerp_(
                [self._average[name] for name in self._averaged],
                [self._model[name] for name in self._averaged],
                1 - decay,
            )
        if self._copied:
            torch._foreach_copy_(
                [self._average[name] for name in self._copied],
                [self._model[name] for name in self._copied],
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While it is open the model holds the averaged weights, then its own again, to the bit.

        The two exchange memory, nothing is copied, but where the model is sharded. What is written
        to the model's buffers inside (recomputed batch-norm statistics, say) stays with the
        average, until the next update.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        self._applied = not self._applied
        for name, tensor in self._model.items():
            average = self._average[name]
            if is_sharded(tensor):  # FSDP keeps the memory that it has
                averaged = average.clone()
                average.copy_(tensor)
                tensor.copy_(averaged)
            else:
                tensor.data, average.data = average.data, tensor.data

    def state_dict(self) -> dict[str, Any]:
        """``{"updates": int, "model": {name: tensor}}``; the tensors are the average's own."""
        assert not self._applied, "the model holds the average: leave `applied()` first"
        return {"updates": self.updates, "model": dict(self._average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, which `state_dict` of a model of the same structure returned.

        Raises:
            WeightsError: the names or shapes are those of another model.
        """
        assert not self._applied, "the model holds the average: leave `applied()` first"
        shapes = {name: tensor.shape for name, tensor in state["model"].items()}
        differing = sorted(
            name
            for name in shapes.keys() | self._average.keys()
            if name not in self._average or shapes.get(name) != self._average[name].shape
        )
        if differing:
            raise WeightsError(
                f"the running average in the checkpoint is of another model: {len(differing)} "
                f"tensors differ in name or shape, first '{differing[0]}'"
            )
        for name, tensor in state["model"].items():
            copy_whole_(self._average[name], tensor)
        self.updates = state["updates"]
