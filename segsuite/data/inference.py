"""Images that belong to no data set, made what the model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError

from .image import FORMATS, channel_order
from .planes import to_planes
from .transforms import AugInput, Augmentation, build_augmentations


class InferenceMapper:
    """Resizes an image as the test images are, and orders its channels.

    Args:
        augmentations: the resize.
        image_format: "RGB" or "BGR", what the model takes of colours.
    """

    @configurable
    def __init__(self, *, augmentations: Augmentation, image_format: str = "BGR") -> None:
        if image_format not in FORMATS:
            raise ConfigError(f"INPUT.FORMAT is '{image_format}': expected one of {FORMATS}")
        self._augmentations, self._image_format = augmentations, image_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "augmentations": build_augmentations(cfg, is_train=False),
            "image_format": channel_order(cfg),
        }

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """
        Args:
            image: (H, W, C) uint8, as `ImageReader` gives it.

        Returns:
            ``image``: (C, h, w) uint8, and ``height`` and ``width``, H and W.
        """
        size = image.shape[:2]
        inputs = AugInput(image)
        self._augmentations(inputs, np.random.default_rng(0))
        pixels = inputs.image
        return {"image": to_planes(pixels, self._image_format), "height": size[0], "width": size[1]}
