"""`Predictor`: from an image to what a trained model says about it."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, load_config
from segsuite.data import InferenceMapper, Metadata, as_rgb, register_from_config
from segsuite.layers import fold_convs
from segsuite.modeling import build_model
from segsuite.runs.run_info import run_metadata
from segsuite.runs.weights import load_trained_weights
from segsuite.visualization import Prediction

from .fitting import FittingInference


class Predictor:
    """Predicts single images with the model of a run::

        predict = Predictor("output/demo")
        prediction = predict("photo.jpg")
        prediction.save("predictions", "photo")

    Images that are too large for the memory are predicted in windows, see `FittingInference`.

    Args:
        run_dir: OUTPUT_DIR of the run; gives configuration, weights and class names.
        overrides: ``KEY VALUE`` pairs for the configuration, e.g. ``["MODEL.DEVICE", "cpu"]``.
        min_score: instances below it are not drawn.

    Raises:
        FileNotFoundError: the folder has no configuration or no weights.
        ValueError: the weights do not fit.
    """

    def __init__(
        self, run_dir: str | os.PathLike, overrides: list[Any] | tuple = (), min_score: float = 0.5
    ):
        cfg = load_run_config(run_dir, overrides)
        self._set_up(cfg, min_score)

    @classmethod
    def from_config(cls, cfg: CfgNode, min_score: float = 0.5) -> Predictor:
        """A predictor with MODEL.WEIGHTS, or the weights in OUTPUT_DIR."""
        predictor = cls.__new__(cls)
        predictor._set_up(cfg, min_score)
        return predictor

    def _set_up(self, cfg: CfgNode, min_score: float) -> None:
        register_from_config(cfg)
        self.cfg = cfg
        self.model: nn.Module = build_model(cfg).eval()
        load_trained_weights(self.model, cfg)
        fold_convs(self.model)
        self._inference = FittingInference(cfg, self.model)
        self.metadata: Metadata = run_metadata(cfg)
        self._mapper = InferenceMapper(cfg)
        self._min_score = min_score

    def __call__(self, image: Any) -> Prediction:
        """Predict one image.

        Args:
            image: a file, a Pillow image, or (H, W, 3) uint8 RGB; its size is the prediction's.

        Raises:
            FileNotFoundError, ValueError: it is none of these, or damaged.
        """
        pixels = as_rgb(image)
        with torch.inference_mode():
            outputs = self._inference(self._mapper(pixels))
        return Prediction(pixels, outputs, self.metadata, self._min_score)


def load_run_config(run_dir: str | os.PathLike, overrides: list[Any] | tuple = ()) -> CfgNode:
    """The configuration of a finished run, with OUTPUT_DIR where the run is now.

    Raises:
        FileNotFoundError: the folder holds no ``config.yaml``.
    """
    path = os.path.join(run_dir, "config.yaml")
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"'{run_dir}' is no run: it has no config.yaml. Give the OUTPUT_DIR of a training, "
            "such as output/demo after `make demo`"
        )
    return load_config(path, ["OUTPUT_DIR", os.fspath(run_dir), "MODEL.WEIGHTS", "", *overrides])
