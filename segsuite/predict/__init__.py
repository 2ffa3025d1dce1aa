"""Predicting: `Predictor`, folders and videos, the page to drop images on, examples of a report."""

from .default_predictor import DefaultPredictor
from .predict_files import find_inputs, predict_files
from .predictor import Predictor

__all__ = ["DefaultPredictor", "Predictor", "find_inputs", "predict_files"]
