"""segsuite: instance and semantic segmentation for PyTorch.

::

    segsuite.list_models()
    net = segsuite.create_model("unet", backbone="resnet34", num_classes=3)
    run = segsuite.train("smoke/unet_shapes", {"OUTPUT_DIR": "output/shapes"})
    segsuite.evaluate("output/shapes", dataset="shapes_val")
    segsuite.Predictor("output/shapes")("photo.jpg").draw()
    segsuite.export("output/shapes", "shapes.onnx")
    net = segsuite.load("output/shapes")

docs/python.md tells about each.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers see of `_LAZY`
    from segsuite.engine.api import evaluate, train
    from segsuite.exporting import export
    from segsuite.models import create_model, list_models, load
    from segsuite.predict import Predictor
    from segsuite.runs import Run

__version__ = "0.1.0"

# Where what can be had from here is defined. It is imported when it is asked for: `import segsuite`
# alone stays free of PyTorch.
_LAZY = {
    "Predictor": "segsuite.predict",
    "Run": "segsuite.runs",
    "create_model": "segsuite.models",
    "evaluate": "segsuite.engine.api",
    "export": "segsuite.exporting",
    "list_models": "segsuite.models",
    "load": "segsuite.models",
    "train": "segsuite.engine.api",
}

__all__ = [
    "Predictor",
    "Run",
    "__version__",
    "create_model",
    "evaluate",
    "export",
    "list_models",
    "load",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'segsuite' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
