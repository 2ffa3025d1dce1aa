"""`Predictor`: from an image to what a trained model says about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segsuite.acceleration import accelerate
from segsuite.config import CfgNode
from segsuite.data import ImageReader, InferenceMapper, Metadata, register_from_config
from segsuite.modeling import build_model
from segsuite.runs import Run, exported_config
from segsuite.runs.plugins import naming_missing_plugins
from segsuite.runs.run_info import run_metadata
from segsuite.runs.weights import load_trained_weights
from segsuite.runtime import is_exported
from segsuite.visualization import Prediction

from .fitting import FittingInference


class Predictor:
    """Predicts single images with the model of a run::

        predict = Predictor("output/demo")
        prediction = predict("photo.jpg")
        prediction.save("predictions", "photo")

    Images that are too large for the memory are predicted in windows, see `FittingInference`.

    Args:
        run_dir: OUTPUT_DIR of the run; gives configuration, weights and class names. Or an exported
            file: ``model.onnx``, an OpenVINO model's ``.xml`` or folder, or a ``.pt2``.
        overrides: ``KEY VALUE`` pairs for the configuration, e.g. ``["MODEL.DEVICE", "cpu"]``.
        min_score: instances below it are not drawn.
        allow_plugins: import the modules that the run's configuration names in ``PLUGINS``, which
            runs their code. Installed plug-ins need no permission.

    Attributes:
        reader: what reads the images.

    Raises:
        MissingFileError: the folder has no configuration or no weights.
        MissingPackageError: a plug-in of the run is missing, or not allowed.
        WeightsError: the weights do not fit; or the exported file is damaged, or not segsuite's.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike,
        overrides: list[Any] | tuple = (),
        min_score: float = 0.5,
        *,
        allow_plugins: bool = False,
    ):
        if is_exported(run_dir):
            cfg = exported_config(run_dir, overrides)
        else:
            cfg = Run(run_dir).load_config(overrides, allow_plugins=allow_plugins)
        self._set_up(cfg, min_score)

    @classmethod
    def from_config(cls, cfg: CfgNode, min_score: float = 0.5) -> Predictor:
        """A predictor with MODEL.WEIGHTS, or the weights in OUTPUT_DIR."""
        predictor = cls.__new__(cls)
        predictor._set_up(cfg, min_score)
        return predictor

    def _set_up(self, cfg: CfgNode, min_score: float) -> None:
        self.cfg = cfg
        with naming_missing_plugins(cfg.OUTPUT_DIR):
            register_from_config(cfg)
            self.model: nn.Module = build_model(cfg).eval()
        load_trained_weights(self.model, cfg)
        accelerate(self.model, inference=True, cuda_graphs=cfg.TEST.CUDA_GRAPHS)
        self._inference = FittingInference(cfg, self.model)
        self.metadata: Metadata = run_metadata(cfg)
        self.reader = ImageReader(cfg)
        self._mapper = InferenceMapper(cfg)
        self.min_score = min_score

    def __call__(self, image: Any) -> Prediction:
        """Predict one image.

        Args:
            image: a file, a Pillow image, or an array (H, W, C) or (H, W): uint8, RGB where it is
                colours, or of another type with the bands of a file, which are read as a file's
                (INPUT.BANDS, INPUT.VALUE_RANGE). Its size is the prediction's.

        Raises:
            MissingFileError, DataError: the file is missing, damaged or no image, or has other
                bands than the model takes.
            ValueError: an array of another shape or type.
        """
        pixels = self.reader.read_any(image)
        with torch.inference_mode():
            outputs = self._inference(self._mapper(pixels))
        shown = self.reader.display(pixels)
        return Prediction(shown, outputs, self.metadata, self.min_score)

    def predict_scene(
        self,
        file: str | os.PathLike[str],
        output_dir: str | os.PathLike[str],
        **options: Any,
    ) -> list[Path]:
        """Predict a GeoTIFF of any size, window by window, and write GeoTIFF and GeoJSON with its
        coordinates.

        Args, returns and raises: see `segsuite.predict.scenes.predict_scene`.
        """
        from .scenes import predict_scene

        return predict_scene(self, file, output_dir, **options)
