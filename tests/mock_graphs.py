"""Graphs of work on a CPU, to see without a GPU what is captured and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MockGraphs:
    """`segsuite.acceleration.capture.Graphs` that does the operators of a capture again.

    As on a GPU, a capture computes nothing, a replay reads and writes the memory that the capture
    did, and nothing else can be done while it is on.

    Attributes:
        captures, replays: how many there were.
        obstacle_found: what `obstacle` returns.
        alive: the graphs that somebody could still replay.
    """

    def __init__(self) -> None:
        self.captures = self.replays = 0
        self.obstacle_found: str | None = None
        self.alive: WeakSet[_Tape] = WeakSet()
        self._is_aside = False

    def obstacle(self, tensors: Any) -> str | None:
        return self.obstacle_found

    @contextmanager
    def turn(self, device: torch.device) -> Iterator[None]:
        yield

    @contextmanager
    def aside(self, device: torch.device) -> Iterator[None]:
        self._is_aside = True
        yield
        self._is_aside = False

    def capture(self, compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        assert self._is_aside
        with _Tape() as tape:
            results = compute()
        tape.spoil()
        self.captures += 1
        self.alive.add(tape)

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay, results

    def wait(self, device: torch.device) -> None:
        pass


class _Tape(TorchDispatchMode):
    """Remembers operators with the tensors that they were given and gave."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self._calls:
            for old, new in zip(tensors(result), tensors(func(*args, **kwargs)), strict=True):
                if not _share_memory(old, new):  # a view, or changed in place
                    old.copy_(new)

    def spoil(self) -> None:
        """What the capture has made is not computed before it is replayed."""
        for _, args, kwargs, result in self._calls:
            for made in tensors(result):
                is_new = not any(_share_memory(made, given) for given in tensors((args, kwargs)))
                if is_new and made.is_floating_point():
                    made.fill_(torch.nan)


def tensors(value: Any) -> list[Tensor]:
    return [x for x in tree_leaves(value) if isinstance(x, Tensor)]


def _share_memory(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
