"""Ways to run a trained model other than on whole images once."""

from .augmentation import SemSegAugmentation
from .build import build_inference
from .memory import peak_activation_bytes
from .sliding_window import SlidingWindow
from .tiles import TiledInstances

__all__ = [
    "SemSegAugmentation",
    "SlidingWindow",
    "TiledInstances",
    "build_inference",
    "peak_activation_bytes",
]
