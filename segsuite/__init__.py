"""segsuite: instance and semantic segmentation for PyTorch."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Imported when it is asked for: `import segsuite` alone stays free of PyTorch.
    if name == "Predictor":
        from segsuite.predict import Predictor

        return Predictor
    raise AttributeError(f"module 'segsuite' has no attribute '{name}'")
