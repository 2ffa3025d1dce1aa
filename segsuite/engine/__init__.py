"""Training: the loop and its hooks, the default trainer, set-up and launch."""

from segsuite.predict import DefaultPredictor

from .defaults import default_argument_parser, default_setup
from .hooks import HOOK_REGISTRY
from .launch import launch
from .train_loop import HookBase, SimpleTrainer, TrainerBase
from .trainer import DefaultTrainer
from .whole import evaluate, train

__all__ = [
    "HOOK_REGISTRY",
    "DefaultPredictor",
    "DefaultTrainer",
    "HookBase",
    "SimpleTrainer",
    "TrainerBase",
    "default_argument_parser",
    "default_setup",
    "evaluate",
    "launch",
    "train",
]
