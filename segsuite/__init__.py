"""segsuite: instance and semantic segmentation for PyTorch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers see of `_LAZY`
    from segsuite.predict import Predictor
    from segsuite.runs import Run

__version__ = "0.1.0"

# Where what can be had from here is defined. It is imported when it is asked for: `import segsuite`
# alone stays free of PyTorch.
_LAZY = {
    "Predictor": "segsuite.predict",
    "Run": "segsuite.runs",
}

__all__ = ["Predictor", "Run", "__version__"]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'segsuite' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
