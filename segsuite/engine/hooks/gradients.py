"""`GradientNorm`, and `NaNGuard`, which stops a run whose figures are no longer finite."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch

from segsuite.errors import RunError
from segsuite.runs.files import RunFiles
from segsuite.utils.files import atomic_file
from segsuite.utils.record_name import record_name
from segsuite.utils.sharded_tensors import whole

from ..train_loop import HookBase, SimpleTrainer


class GradientNorm(HookBase):
    """Puts ``grad_norm``, the L2 norm of all gradients before clipping."""

    trainer: SimpleTrainer

    def after_backward(self) -> None:
        self.norm = gradient_norm(self.trainer.model)
        self.trainer.storage.put_scalar("grad_norm", self.norm)


def gradient_norm(model: torch.nn.Module) -> torch.Tensor:
    """The L2 norm of all gradients of a model: () float, on their device."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return whole(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))


class NonFiniteError(RunError):
    """The loss or a gradient became infinite or NaN."""


class FlagOnItsWay:
    """A () bool tensor that is being copied to the CPU, without waiting for its device."""

    def __init__(self, flag: torch.Tensor):
        self._flag, self._copied = flag, None
        if flag.is_cuda:
            self._flag = flag.to("cpu", non_blocking=True)  # into pinned memory
            self._copied = torch.cuda.Event()
            self._copied.record()

    @property
    def arrived(self) -> bool:
        return self._copied is None or self._copied.query()

    def wait(self) -> bool:
        """The flag."""
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._flag)


@dataclass
class _Step:
    iteration: int
    batch: list[dict]
    losses: dict[str, torch.Tensor]
    grad_norm: torch.Tensor
    finite: FlagOnItsWay


class NaNGuard(HookBase):
    """Stops at a loss or gradient that is not finite, and saves the batch that it came from.

    On the CPU it stops before the step is taken. On CUDA it never waits for the device: it looks
    at a step as soon as its outcome has arrived, one or two steps later, and in any case before a
    checkpoint is written. With float16 only the loss counts, as its scaling makes gradients
    overflow now and then.

    Register it after `GradientNorm`.

    Args:
        output_dir: of the run; gets ``nonfinite_<iteration>.pth``: the process's share of the
            batch, the losses and the norm.

    Raises:
        NonFiniteError: from `after_backward` or later; names the iteration and the images.
    """

    trainer: SimpleTrainer

    def __init__(self, output_dir: str | os.PathLike[str], grad_norm: GradientNorm):
        self._files = RunFiles(output_dir)
        self._grad_norm = grad_norm
        self._steps: deque[_Step] = deque()

    def after_backward(self) -> None:
        trainer = self.trainer
        total, norm = trainer.losses["total_loss"], self._grad_norm.norm
        finite = torch.isfinite(total if trainer.scaler.is_enabled() else total + norm)
        flag = FlagOnItsWay(finite)
        self._steps.append(_Step(trainer.iter, trainer.batch, trainer.losses, norm, flag))
        self._check(wait=False)

    def _check(self, *, wait: bool) -> None:
        while self._steps and (wait or self._steps[0].finite.arrived):
            step = self._steps.popleft()
            if not step.finite.wait():
                self._fail(step)

    def _fail(self, step: _Step) -> None:
        figures = {n: float(v) for n, v in {**step.losses, "grad_norm": step.grad_norm}.items()}
        path = self._files.nonfinite(step.iteration)
        content = {"iteration": step.iteration, "batch": step.batch, "figures": figures}
        with atomic_file(path, "wb") as file:
            torch.save(content, file)
        images = ", ".join(map(record_name, step.batch))
        shown = ", ".join(f"{name} {value:g}" for name, value in figures.items())
        raise NonFiniteError(
            f"iteration {step.iteration}: {shown}. The batch: {images} (saved to {path}). Try a "
            "lower SOLVER.BASE_LR, a longer SOLVER.WARMUP_ITERS or SOLVER.CLIP_GRADIENTS, and look "
            "at these images and labels"
        )

    def after_train(self) -> None:
        self._check(wait=True)

    def state_dict(self) -> dict[str, Any]:
        # Nothing is saved after a bad step.
        self._check(wait=True)
        return {}
