"""segsuite: instance and semantic segmentation for PyTorch."""

__version__ = "0.1.0"
