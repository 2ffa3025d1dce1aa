"""What a model costs: parameters, operations, activations and time by module, and memory."""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from segsuite.acceleration import accelerate, accelerated
from segsuite.evaluation import evaluating

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore compiles a loss when it is imported
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
    from fvcore.nn.jit_handles import get_shape

MIB = 1 << 20


@dataclass
class ModuleCost:
    """One module with all that is inside it, in a forward pass of one image.

    Attributes:
        name: "" is the whole model.
        parameters: their number; shared ones count once.
        flops: multiply-adds of convolutions, matrix products, norms and interpolations, as fvcore
            counts them.
        activations: values that its convolutions and matrix products give.
        milliseconds: the median of several passes; None for a module that the model does not call,
            such as a norm that is folded into its convolution.
    """

    name: str
    parameters: int
    flops: int
    activations: int
    milliseconds: float | None


class _OnImage(nn.Module):
    """A model as a function from one image to tensors, which tracing needs."""

    def __init__(self, model: nn.Module, record: dict[str, Any]):
        super().__init__()
        self.model, self._record = model, record

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(_tensors(self.model([{**self._record, "image": image}])))


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    """The tensors in predictions, before any is brought to the size of the image."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)
    elif hasattr(output, "get_fields"):  # Instances
        yield from _tensors(output.get_fields())
    else:
        for name in ("logits", "probabilities", "tensor"):  # SemSegLogits, ROIMasks, Boxes
            if hasattr(output, name):
                yield getattr(output, name)
                return


def module_costs(
    model: nn.Module, record: dict[str, Any], *, depth: int | None = None, runs: int = 5
) -> list[ModuleCost]:
    """The cost of predicting one image, of the model and of its modules.

    Args:
        model: takes ``list[dict]``; its training mode is left as it is.
        record: what it is given, with ``image`` (3, H, W).
        depth: modules of so many levels below the model; None: all.
        runs: timed passes, after one that warms up.
    """
    names = [name for name, _ in model.named_modules() if depth is None or _level(name) <= depth]
    wrapped = _OnImage(model, record)
    image = record["image"].to(next(model.parameters()).device)
    with evaluating(model), torch.no_grad():
        with accelerated(model):  # as in every evaluation; operations are those of the network
            milliseconds = _milliseconds(model, lambda: wrapped(image), names, runs)
        flops, activations = (
            _by_module(analysis(wrapped, image))
            for analysis in (FlopCountAnalysis, ActivationCountAnalysis)
        )
    return [
        ModuleCost(
            name,
            sum(p.numel() for p in model.get_submodule(name).parameters()),
            flops[name],
            activations[name],
            milliseconds.get(name),
        )
        for name in names
    ]


def _level(name: str) -> int:
    return name.count(".") + 1 if name else 0


def _by_module(analysis: FlopCountAnalysis | ActivationCountAnalysis) -> dict[str, int]:
    if isinstance(analysis, FlopCountAnalysis):
        analysis.set_op_handle("aten::matmul", _matmul_flops)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    prefix = "model."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tracing, which only counts here
        counts = {name: int(count) for name, count in analysis.by_module().items()}
    return {"": counts[""]} | {
        name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)
    }


def _matmul_flops(inputs: list, outputs: list) -> int:
    """fvcore's own knows no products with a vector."""
    return math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


def _milliseconds(
    model: nn.Module, forward: Callable[[], object], names: list[str], runs: int
) -> dict[str, float]:
    """The median time of each module; what a module is called several times for is added up."""
    on_cuda = next(model.parameters()).is_cuda
    spent: dict[str, float] = {}
    started: dict[str, float] = {}

    def now() -> float:
        if on_cuda:
            torch.cuda.synchronize()
        return 1e3 * time.perf_counter()

    def watch(name: str) -> list[Any]:
        def before(*_: object) -> None:
            started[name] = now()

        def after(*_: object) -> None:
            spent[name] = spent.get(name, 0.0) + now() - started[name]

        module = model.get_submodule(name)
        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    handles = [handle for name in names for handle in watch(name)]
    measured: dict[str, list[float]] = {}
    try:
        forward()
        for _ in range(runs):
            spent.clear()
            forward()
            for name, ms in spent.items():
                measured.setdefault(name, []).append(ms)
    finally:
        for handle in handles:
            handle.remove()
    return {name: statistics.median(values) for name, values in measured.items()}


def peak_bytes(function: Callable[[], object], device: torch.device) -> int:
    """The most memory that PyTorch held during a call, beyond what it held before.

    On CUDA and on the CPU this is what the allocators gave out, without their reserves and what
    libraries take for themselves.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    with _temporary_file(".json") as path:
        recorded.export_chrome_trace(path)
        events = json.loads(Path(path).read_text())["traceEvents"]
    changes = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    return max(accumulate(e["args"]["Bytes"] for e in changes), default=0)


@contextmanager
def _temporary_file(suffix: str) -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(suffix)
    os.close(descriptor)
    try:
        yield path
    finally:
        os.unlink(path)


@dataclass
class Memory:
    """Memory that PyTorch holds, in MiB.

    Attributes:
        weights: parameters and buffers.
        inference: the peak while images are predicted one by one, with the weights and those
            that `accelerated` prepares.
        training: the peak of a training step, with weights, gradients and the optimiser's state.
    """

    weights: float
    inference: float
    training: float


def measure_memory(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: list[dict[str, Any]]
) -> Memory:
    """The memory of predicting the first image of a batch, and of a training step on all of it.

    The model is trained for two steps, accelerated as by the trainer, and left in training mode.
    """
    device = next(model.parameters()).device
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))

    def predict_twice() -> None:  # the first time also prepares weights, which then stay
        with torch.inference_mode():
            model(batch[:1])
            model(batch[:1])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(model(batch).values()).backward()
        optimizer.step()

    with evaluating(model), accelerated(model):
        inference = peak_bytes(predict_twice, device)
    model.train()
    accelerate(model)
    step()  # makes the optimiser's state
    optimizer.zero_grad(set_to_none=True)
    kept = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    training = peak_bytes(step, device)
    return Memory(weights / MIB, (weights + inference) / MIB, (weights + kept + training) / MIB)
