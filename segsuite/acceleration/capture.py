"""What captures work on a device as a CUDA graph, and what makes sure that it can be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
_COPYING = {aten._to_copy, aten.copy_}
_WAITING_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Graphs(Protocol):
    """What records and replays work on a device; all graphs of a model share one."""

    def obstacle(self, tensors: Sequence[Tensor]) -> str | None:
        """Why work on these can't be recorded."""

    def turn(self, device: torch.device) -> AbstractContextManager[None]:
        """The memory of the graphs is the caller's: other threads and streams are waited for."""

    def aside(self, device: torch.device) -> AbstractContextManager[None]:
        """On the stream of the captures, between what the present one was given and is given."""

    def capture(self, compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """What replays `compute`, and its results, which each replay writes anew; `aside` only."""

    def wait(self, device: torch.device) -> None:
        """Until no graph runs, so that some can be dropped."""


class CUDAGraphs:
    """`Graphs` of PyTorch."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # For each device the stream of the captures, the graphs that there are, their memory, and
        # the last stream of `turn`.
        self._streams: dict[torch.device, torch.cuda.Stream] = {}
        self._alive: dict[torch.device, WeakSet[torch.cuda.CUDAGraph]] = {}
        self._pools: dict[torch.device, Any] = {}
        self._last: dict[torch.device, torch.cuda.Stream] = {}

    def obstacle(self, tensors: Sequence[Tensor]) -> str | None:
        device = tensors[0].device
        if device.type != "cuda":
            return f"the model is on {device}, which has no CUDA graphs"
        if any(type(x) is not Tensor or x.device != device for x in tensors):
            return "not all of its inputs are plain tensors on one device"
        if torch.cuda.is_current_stream_capturing():
            return "it is being captured already"
        return None

    @contextmanager
    def turn(self, device: torch.device) -> Iterator[None]:
        with self._lock:
            stream = torch.cuda.current_stream(device)
            if (last := self._last.get(device, stream)) != stream:
                stream.wait_stream(last)
            self._last[device] = stream
            yield

    @contextmanager
    def aside(self, device: torch.device) -> Iterator[None]:
        if device not in self._streams:
            self._streams[device], self._alive[device] = torch.cuda.Stream(device), WeakSet()
        present, stream = torch.cuda.current_stream(device), self._streams[device]
        stream.wait_stream(present)
        try:
            with torch.cuda.stream(stream):  # whatever stream a failed capture leaves behind
                yield
        finally:
            present.wait_stream(stream)

    def capture(self, compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        stream = torch.cuda.current_stream()
        device = stream.device
        if not self._alive[device]:  # PyTorch gives a pool up with the last graph in it
            self._pools[device] = torch.cuda.graph_pool_handle()
        graph, pool = torch.cuda.CUDAGraph(), self._pools[device]
        # Other threads may go on, above all those that pin the memory of a loader's batches.
        capturing = torch.cuda.graph(
            graph, pool=pool, stream=stream, capture_error_mode="thread_local"
        )
        try:
            with capturing:
                results = compute()
        except BaseException:
            # A capture that CUDA itself has broken off leaves the allocator at the pool.
            with suppress(RuntimeError, AttributeError):
                torch._C._cuda_endAllocateToPool(device.index, pool)
            raise
        self._alive[device].add(graph)
        return graph.replay, results

    def wait(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)


class NothingWaits(TorchDispatchMode):
    """Refuses operators that would wait for the device, before they break off a capture."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _waits(func, args, kwargs):
            raise RuntimeError(f"{func} waits for the device")
        return func(*args, **kwargs)


def _waits(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    packet = func.overloadpacket
    if packet in _INDEXING:
        return any(x.dtype in (torch.bool, torch.uint8) for x in args[1] if x is not None)
    if packet in _COPYING:
        devices = {x.device.type for x in args if isinstance(x, Tensor)}
        if kwargs.get("device") is not None:
            devices.add(torch.device(kwargs["device"]).type)
        return len(devices) > 1
    return not _WAITING_TAGS.isdisjoint(func.tags)
