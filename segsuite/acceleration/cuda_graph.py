"""CUDA graphs: the kernels of a network are launched as one, for shapes that come again."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as nn_module
from torch.utils._pytree import tree_leaves, tree_map_only

from segsuite.errors import ConfigError

from .capture import CUDAGraphs, Graphs, NothingWaits
from .forward import AcceleratedForward

logger = logging.getLogger(__name__)

# Shapes that came once are remembered up to here.
_MOST_SEEN = 1000


class _Recording(NamedTuple):
    inputs: list[Tensor]
    replay: Callable[[], None]
    results: Any


class ReplayedMethod(AcceleratedForward):
    """A method of a module that, for shapes that come again, replays a CUDA graph.

    The results are those of the method, and the caller's own. The first call with tensors of some
    shapes is as without it, the second is captured, and later ones are replayed. Without a graph
    the method is called on a CPU, with gradients, in training mode, in a compiled or traced model,
    below a `TorchDispatchMode` and where hooks look at modules inside; and from then on where it
    can't be captured, or there is no memory for it beside the graphs. The log says why. When a
    weight was written to or replaced, when autocast or what else decides on the numbers changes,
    graphs are captured anew.

    Args:
        module: whose method it is.
        method: takes and returns tensors, in dicts, lists and tuples or not. Shapes of the results
            and what is computed follow from the shapes of the arguments and the weights alone.
        limit: graphs that are kept; the one that is not used for longest goes first.
        graphs: shared by the methods of a model.
    """

    def __init__(self, module: nn.Module, method: str, limit: int, graphs: Graphs):
        super().__init__(module, method)
        self._limit = limit
        self._graphs = graphs
        self._recordings: OrderedDict[Any, _Recording] = OrderedDict()
        self._seen: set[Any] = set()
        self._state: list[Any] = []
        self._source: list[Tensor] = []  # kept, so that nothing else can come to lie there
        self._device = torch.device("cpu")
        self._failed = False
        self._said: set[str] = set()

    def __call__(self, *args: Any) -> Any:
        if self._failed or _is_watched():
            return self._compute(*args)
        tensors = _tensors(args)
        obstacle = "gradients are enabled" if torch.is_grad_enabled() else None
        obstacle = obstacle or self._graphs.obstacle(tensors)
        if obstacle is None:
            state = _State.of(self.module)
            obstacle = state.obstacle
        if obstacle is not None:
            self._say(logging.INFO, obstacle)
            return self._compute(*args)
        device = tensors[0].device
        with self._graphs.turn(device):
            if state.values != self._state:
                self._clear()
                self._state, self._device = state.values, device
                self._source = [x.detach() for x in state.tensors]
            try:
                return self._answer(args, tensors)
            except torch.cuda.OutOfMemoryError as e:
                if not self._recordings:
                    raise
                self._give_up(e)
        return self._compute(*args)  # in the memory of the graphs

    def remove(self) -> None:
        super().remove()
        self._clear()

    def _compute(self, *args: Any) -> Any:
        return getattr(type(self.module), self.method)(self.module, *args)

    def _answer(self, args: Any, tensors: Sequence[Tensor]) -> Any:
        key = (_layout(args), _settings(self._device.type))
        if key in self._recordings:
            return self._replay(key, tensors)
        if key in self._seen:
            return self._record(key, args)
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(key)
        return self._compute(*args)

    def _replay(self, key: Any, tensors: Sequence[Tensor]) -> Any:
        self._recordings.move_to_end(key)
        recording = self._recordings[key]
        for mine, given in zip(recording.inputs, tensors, strict=True):
            mine.copy_(given)
        recording.replay()
        return _clones(recording.results)

    def _record(self, key: Any, args: Any) -> Any:
        device = self._device
        while len(self._recordings) >= self._limit:
            self._graphs.wait(device)
            oldest, _ = self._recordings.popitem(last=False)
            self._seen.discard(oldest)
        with self._graphs.aside(device), _without_cache(device.type):
            inputs = _clones(args)
            # Makes what is made once, and is what the caller gets whether a capture works or not.
            results = self._compute(*inputs)
            try:
                replay, static = self._graphs.capture(lambda: self._compute_waiting_never(inputs))
            except Exception as e:
                self._give_up(e)
            else:
                self._recordings[key] = _Recording(_tensors(inputs), replay, static)
        return _clones(results)

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        self._clear()
        cause = error.__context__ or error  # what broke a capture off, not that it is broken
        reason = str(cause).partition("\n")[0]
        self._say(logging.WARNING, f"{type(cause).__name__}: {reason}")

    def _compute_waiting_never(self, args: Any) -> Any:
        with NothingWaits():
            return self._compute(*args)

    def _clear(self) -> None:
        if self._recordings:
            self._graphs.wait(self._device)
        self._recordings.clear()
        self._seen.clear()
        self._source, self._state = [], []

    def _say(self, level: int, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            name = f"{type(self.module).__name__}.{self.method}"
            logger.log(level, "%s is computed without a CUDA graph: %s", name, reason)


class _State(NamedTuple):
    """What a graph of a module's method depends on, beside the inputs.

    Attributes:
        values: the modules, where their tensors are and how often they were written to.
        tensors: their parameters and buffers.
        obstacle: why the module can't be replayed.
    """

    values: list[Any]
    tensors: list[Tensor]
    obstacle: str | None

    @classmethod
    def of(cls, module: nn.Module) -> _State:
        """Asked for in each call, so it takes no longer than it must."""
        modules, values, tensors = [module], list[Any](), list[Tensor]()
        hooks = nn_module._global_forward_hooks or nn_module._global_forward_pre_hooks
        obstacle = "a hook looks into it" if hooks else None
        for m in modules:  # which grows
            attributes = m.__dict__
            if attributes["training"]:
                obstacle = "it is in training mode"
            elif (m._forward_hooks or m._forward_pre_hooks) and m is not module:
                obstacle = f"a hook looks into it, at a {type(m).__name__}"
            elif m._compiled_call_impl is not None:
                obstacle = "it is compiled by torch.compile"
            values += (m, attributes.get("forward"))
            modules += [x for x in attributes["_modules"].values() if x is not None]
            tensors += [x for x in attributes["_parameters"].values() if x is not None]
            tensors += [x for x in attributes["_buffers"].values() if x is not None]
        values += [x.data_ptr() for x in tensors]
        values += [0 if x.is_inference() else x._version for x in tensors]
        return cls(values, tensors, obstacle)


def graph_methods(model: nn.Module, limit: int) -> Iterator[ReplayedMethod]:
    """What replays the methods that modules of a model name in their ``graph_methods``.

    Raises:
        ConfigError: see `check_graph_limit`.
    """
    check_graph_limit(limit)
    graphs = CUDAGraphs()
    for module in model.modules() if limit else ():
        for method in getattr(type(module), "graph_methods", ()):
            yield ReplayedMethod(module, method, limit, graphs)


def check_graph_limit(limit: int) -> None:
    """Refuse a number of graphs that is none.

    Raises:
        ConfigError: it is negative.
    """
    if limit < 0:
        raise ConfigError(
            f"TEST.CUDA_GRAPHS is {limit}; expected the number of shapes of images for which a "
            "CUDA graph is kept, such as 8, or 0 for none"
        )


def _is_watched() -> bool:
    """Whether somebody sees each operator, who would not see those of a graph."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _settings(device: str) -> tuple[Any, ...]:
    """What else decides on the numbers, or on how results may be used."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(torch.backends, "fp32_precision"):  # since PyTorch 2.9
        precision = (matmul.fp32_precision, cudnn.conv.fp32_precision)  # type: ignore[attr-defined]
    else:
        precision = (matmul.allow_tf32, cudnn.allow_tf32)
    return (
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
        torch.is_inference_mode_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        cudnn.deterministic,
        *precision,
    )


def _without_cache(device: str) -> torch.autocast:
    """Autocast as it is, but weights are cast in the graph, whose memory they are in."""
    return torch.autocast(
        device,
        torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    )


def _layout(value: Any) -> Any:
    """Names, shapes, strides and types of all tensors, for a key."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, Mapping):
        return tuple((name, _layout(x)) for name, x in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_layout, value))
    return value


def _tensors(value: Any) -> list[Tensor]:
    return [x for x in tree_leaves(value) if isinstance(x, Tensor)]


def _clones(value: Any) -> Any:
    return tree_map_only(Tensor, torch.clone, value)
