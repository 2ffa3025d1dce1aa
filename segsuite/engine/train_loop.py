"""The training loop: `TrainerBase` runs steps and hooks, `SimpleTrainer` is what a step is."""

from __future__ import annotations

import functools
import logging
import operator
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from segsuite.checkpoint import get_rng_state, set_rng_state
from segsuite.errors import ConfigError
from segsuite.modeling.losses import AccumulatedBatch
from segsuite.utils import comm
from segsuite.utils.events import EventStorage
from segsuite.utils.sharded_tensors import is_sharded_model, load_whole

logger = logging.getLogger(__name__)


class HookBase:
    """Something to do at fixed points of the loop; override the points that matter.

    ::

        hook.before_train()
        while trainer.iter < trainer.max_iter:
            hook.before_step()
            # forward, backward
            hook.after_backward()
            # optimizer step
            hook.after_step()
        hook.after_train()      # not after an error
        hook.close()            # always

    At each point the hooks run in the order in which they were registered, on every process.
    ``self.trainer`` is there from `TrainerBase.register_hooks` on.
    """

    trainer: TrainerBase

    def before_train(self) -> None:
        """Before the first step."""

    def before_step(self) -> None:
        """Before each step."""

    def after_backward(self) -> None:
        """After the gradients are there, before they are clipped and used."""

    def after_step(self) -> None:
        """After each step; ``trainer.iter`` is still its number."""

    def after_train(self) -> None:
        """When the loop has ended, early or not, but not after an error."""

    def close(self) -> None:
        """Release what `before_train` took; also after an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know: tensors and plain values. Called on every process."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier run; called before `before_train`."""


class TrainingInterrupted(SystemExit):
    """A signal ended the training in good order: its checkpoint is written, to be resumed from.

    Attributes:
        code: the exit status, 128 and the number of the signal.
    """


class TrainerBase:
    """A loop over `run_step` with hooks.

    Attributes:
        iter: the present iteration, from 0; during `HookBase.after_train` the next one.
        start_iter, max_iter: the loop runs over ``range(start_iter, max_iter)``.
        storage: where hooks and steps put their figures.
        interrupted: a signal is ending the loop, which is to be resumed later.
    """

    def __init__(self) -> None:
        self.iter = self.start_iter = self.max_iter = 0
        self.storage = EventStorage()
        self._signal: signal.Signals | None = None
        self._stop = False
        self._hooks: list[HookBase] = []

    def register_hooks(self, hooks: Iterable[HookBase]) -> None:
        """Append hooks; they run in this order."""
        for hook in hooks:
            hook.trainer = self
            self._hooks.append(hook)

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run the iterations from `start_iter` up to, not including, `max_iter`.

        Raises:
            TrainingInterrupted: a signal ended it, see `SignalHook`.
        """
        self.iter = self.storage.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        with self.storage:
            try:
                self.before_train()
                while self.iter < max_iter and not self._stop:
                    self.storage.iter = self.iter
                    self._call("before_step")
                    self.run_step()
                    self._call("after_step")
                    self.iter += 1
                self._call("after_train")
            finally:
                self._call("close")
        if self._signal is not None:
            raise TrainingInterrupted(128 + self._signal)

    def before_train(self) -> None:
        """Prepare the first step of `train`."""
        self._call("before_train")

    def run_step(self) -> None:
        raise NotImplementedError

    def stop(self, reason: str, *, signum: signal.Signals | None = None) -> None:
        """Leave the loop after this step.

        Args:
            signum: the signal that asks for it: the run is to be resumed later, not finished now.
        """
        logger.info("%s: stopping after iteration %d", reason, self.iter + 1)
        self._stop = True
        self._signal = signum

    @property
    def interrupted(self) -> bool:
        return self._signal is not None

    @property
    def is_last_step(self) -> bool:
        """Whether no step follows the present one, as far as is known."""
        return self._stop or self.iter + 1 >= self.max_iter

    def _call(self, point: str) -> None:
        for hook in self._hooks:
            getattr(hook, point)()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know after the present step. Called on every process."""
        hooks = {name: hook.state_dict() for name, hook in self._named_hooks()}
        return {
            "iteration": self.iter + 1,
            "hooks": {name: state for name, state in hooks.items() if state},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier run; a hook that it lacked starts afresh."""
        for name, hook in self._named_hooks():
            if name in state["hooks"]:
                hook.load_state_dict(state["hooks"][name])

    def _named_hooks(self) -> Iterator[tuple[str, HookBase]]:
        count: Counter[str] = Counter()
        for hook in self._hooks:
            name = type(hook).__name__
            count[name] += 1
            yield (name if count[name] == 1 else f"{name}#{count[name]}"), hook


class SimpleTrainer(TrainerBase):
    """A step is: next batch, forward, sum of the losses backward, optimizer.

    Args:
        model: takes ``list[dict]`` and returns a dict of scalar losses.
        build_loader: ``build_loader(start_iter)`` is an endless iterable of this process's share,
            ``list[dict]``, of the batches from that iteration on.
        amp_dtype: compute in ``torch.bfloat16`` or ``torch.float16`` where autocast does; None:
            full precision. With float16 the loss is scaled, and a step that overflows left out.
        accumulate_steps: split each batch into this many parts of one size, forward and backward
            one after another; the losses are the means over the parts. Pixel-wise losses of label
            maps divide by the pixels of the whole batch, see `AccumulatedBatch`.
        clip_gradients: is given the parameters after each backward.

    Attributes:
        model: the module itself; with several processes a step runs it through
            DistributedDataParallel, unless it is sharded.
        batch: the share that the present step works on.
        losses: the step's losses by name, and their sum as ``total_loss``; detached, on the device.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        build_loader: Callable[[int], Iterable[list[dict]]],
        optimizer: torch.optim.Optimizer,
        amp_dtype: torch.dtype | None = None,
        accumulate_steps: int = 1,
        clip_gradients: Callable[[Iterable[nn.Parameter]], object] | None = None,
    ):
        super().__init__()
        self.model = model
        self.build_loader = build_loader
        self.optimizer = optimizer
        self.amp_dtype = amp_dtype
        self.accumulate_steps = accumulate_steps
        self.clip_gradients = clip_gradients
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp_dtype == torch.float16)
        self.batch: list[dict] = []
        self.losses: dict[str, torch.Tensor] = {}
        self._forward = _parallel(model, self.device)
        self._rng_state: dict[str, Any] | None = None

    def train(self, start_iter: int, max_iter: int) -> None:
        super().train(start_iter, max_iter)
        del self._data_iter  # ends the loader's workers

    def before_train(self) -> None:
        super().before_train()
        self.model.train()
        self._loader = self.build_loader(self.start_iter)
        self._data_iter = iter(self._loader)
        # Last, since starting a loader draws from the generators.
        if self._rng_state is not None:
            set_rng_state(self._rng_state)

    def loader_from(self, iteration: int) -> Iterable[list[dict]]:
        """The batches from an iteration on, beside those that are trained on.

        Where the loader can, as `MappedLoader` does, without reading the data set again.
        """
        starting_at = getattr(self._loader, "starting_at", self.build_loader)
        return starting_at(iteration)

    def run_step(self) -> None:
        start = time.perf_counter()
        self.batch = next(self._data_iter)
        self.storage.put_scalar("data_time", time.perf_counter() - start)

        self.optimizer.zero_grad(set_to_none=True)
        self.losses = {}
        parts = _split(self.batch, self.accumulate_steps)
        whole = AccumulatedBatch(self.batch, len(parts)) if len(parts) > 1 else None
        for part in parts:
            with nullcontext() if whole is None else whole.part(part):
                self._forward_backward(part, is_last=part is parts[-1])
        total = functools.reduce(operator.add, self.losses.values())
        self.losses = {"total_loss": total, **self.losses}
        for name, loss in self.losses.items():
            self.storage.put_scalar(name, loss)

        self.scaler.unscale_(self.optimizer)
        self._call("after_backward")
        if self.clip_gradients is not None:
            self.clip_gradients(self.model.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _forward_backward(self, part: list[dict], *, is_last: bool) -> None:
        # Processes exchange gradients once a step, with the last part's.
        context: AbstractContextManager = nullcontext()
        if isinstance(self._forward, DistributedDataParallel) and not is_last:
            context = self._forward.no_sync()
        with context:
            with torch.autocast(
                self.device.type, self.amp_dtype, enabled=self.amp_dtype is not None
            ):
                losses = self._forward(part)
                total = sum(losses.values()) / self.accumulate_steps
            self.scaler.scale(total).backward()
        for name, loss in losses.items():
            self.losses[name] = self.losses.get(name, 0) + loss.detach() / self.accumulate_steps

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": comm.all_gather(get_rng_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        load_whole(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        # A process that the earlier run did not have goes on from its own seed.
        if comm.get_rank() < len(state["rng"]):
            self._rng_state = state["rng"][comm.get_rank()]


def _parallel(model: nn.Module, device: torch.device) -> nn.Module:
    if comm.get_world_size() == 1 or is_sharded_model(model):
        return model
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        # Normalisation layers either reduce their statistics themselves (SyncBN) or keep them to
        # their process until an evaluation.
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )


def _split(batch: list[dict], parts: int) -> list[list[dict]]:
    size, rest = divmod(len(batch), parts)
    if rest or not size:
        raise ConfigError(
            f"a batch of {len(batch)} images a process can't be split into {parts} equal parts; "
            "SOLVER.IMS_PER_BATCH must be a multiple of processes x SOLVER.ACCUMULATE_STEPS"
        )
    return [batch[i : i + size] for i in range(0, len(batch), size)]
