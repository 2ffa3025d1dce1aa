"""`DefaultPredictor`: a `Predictor` that is called as Detectron2's is."""

from __future__ import annotations

from typing import Any

import torch

from segsuite.config import CfgNode

from .predictor import Predictor


class DefaultPredictor:
    """From a BGR image, as OpenCV reads it, to what the model returns for it::

        predictor = DefaultPredictor(cfg)
        instances = predictor(cv2.imread("photo.jpg"))["instances"]

    For code written for Detectron2. `Predictor` takes files and RGB, finds the configuration by the
    folder of the run, and returns a `Prediction`, which can be drawn and saved.

    Args:
        cfg: with MODEL.WEIGHTS, or weights in its OUTPUT_DIR.

    Attributes:
        cfg, model, metadata: the configuration, the network, and names and colours of the classes.

    Raises:
        MissingFileError, WeightsError: see `load_trained_weights`.
    """

    def __init__(self, cfg: CfgNode):
        self.cfg = cfg
        self._predictor = Predictor.from_config(cfg)
        self.model: torch.nn.Module = self._predictor.model
        self.metadata = self._predictor.metadata

    def __call__(self, original_image: Any) -> dict[str, Any]:
        """Predict one image.

        Args:
            original_image: (H, W, 3) uint8 BGR, whatever INPUT.FORMAT is, or of other bands as
                `Predictor` takes it; its size is the prediction's.

        Returns:
            What the meta architecture returns: ``instances``, ``sem_seg``, ``panoptic_seg``.

        Raises:
            ValueError: something else, or an image of another shape or type.
        """
        if getattr(original_image, "ndim", None) != 3:
            raise ValueError(
                "a DefaultPredictor takes an image (height, width, 3) uint8 BGR, it was given a "
                f"{type(original_image).__name__}; Predictor takes files, Pillow images and RGB"
            )
        is_color = original_image.shape[2] == 3
        return self._predictor(original_image[:, :, ::-1] if is_color else original_image).outputs
