"""What happens around the steps of a training run."""

from .build import HOOK_REGISTRY, build_named_hooks
from .checkpoint import BestCheckpointer, PeriodicCheckpointer
from .ema import EMAHook
from .evaluation import EarlyStopping, EvalHook
from .gradients import GradientNorm, NaNGuard, NonFiniteError
from .lr_scheduler import LRScheduler
from .output_dir import OutputDirHook
from .periodic_writer import PeriodicWriter
from .precise_bn import PreciseBN
from .profiler import Profiler
from .report import ReportHook
from .signals import SignalHook
from .timing import IterationTimer

__all__ = [
    "HOOK_REGISTRY",
    "BestCheckpointer",
    "EMAHook",
    "EarlyStopping",
    "EvalHook",
    "GradientNorm",
    "IterationTimer",
    "LRScheduler",
    "NaNGuard",
    "NonFiniteError",
    "OutputDirHook",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "PreciseBN",
    "Profiler",
    "ReportHook",
    "SignalHook",
    "build_named_hooks",
]
