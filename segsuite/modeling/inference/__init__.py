"""Ways to run a trained semantic model other than on whole images once."""

from .augmentation import SemSegAugmentation
from .build import build_inference
from .memory import peak_activation_bytes
from .sliding_window import SlidingWindow

__all__ = ["SemSegAugmentation", "SlidingWindow", "build_inference", "peak_activation_bytes"]
