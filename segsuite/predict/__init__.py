"""Predicting: `Predictor`, folders and videos, the page to drop images on, examples of a report."""

from .predictor import Predictor, load_run_config

__all__ = ["Predictor", "load_run_config"]
