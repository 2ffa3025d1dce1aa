"""Predicting: `Predictor`, folders and videos, the page to drop images on, examples of a report."""

from .predictor import Predictor

__all__ = ["Predictor"]
