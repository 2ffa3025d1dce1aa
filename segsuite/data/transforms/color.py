"""Changes of colour."""

from __future__ import annotations

import cv2
import numpy as np

from .transform import Transform

# Weights of red, green and blue in the luma of ITU-R BT.601.
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class ColorTransform(Transform):
    """Change brightness, contrast, saturation and hue of an RGB image, in this order.

    Of images of other bands the brightness and contrast, each band about its own mean.

    Args:
        brightness: factor on all values.
        contrast: factor on the distance from the image's mean grey.
        saturation: factor on each pixel's distance from its own grey.
        hue: rotation of the hue, in turns.
    """

    def __init__(
        self,
        *,
        brightness: float = 1.0,
        contrast: float = 1.0,
        saturation: float = 1.0,
        hue: float = 0.0,
    ) -> None:
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        if image.shape[2] != 3:
            return self._of_bands(image)
        if self.brightness != 1 or self.contrast != 1 or self.saturation != 1:
            image = self._linear(image)
        if self.hue != 0:
            hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
            # 8-bit OpenCV hues are in units of two degrees.
            shift = round(self.hue * 180)
            hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int16) + shift) % 180
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        return image

    def _of_bands(self, image: np.ndarray) -> np.ndarray:
        means = image.reshape(-1, image.shape[2]).mean(axis=0, dtype=np.float64)
        scale = self.contrast * self.brightness
        offsets = (1 - self.contrast) * self.brightness * means
        changed = image * np.float32(scale) + offsets.astype(np.float32)
        return np.rint(changed).clip(0, 255).astype(np.uint8)

    def _linear(self, image: np.ndarray) -> np.ndarray:
        """Brightness, contrast and saturation are linear in the colour: one 3 x 4 matrix."""
        mean_grey = float(image.reshape(-1, 3).mean(axis=0) @ _GREY) * self.brightness
        to_grey = np.tile(_GREY, (3, 1))
        mix = self.saturation * np.eye(3) + (1 - self.saturation) * to_grey
        scale = self.contrast * self.brightness
        offset = (1 - self.contrast) * mean_grey
        matrix = np.concatenate([mix * scale, np.full((3, 1), offset)], axis=1)
        return cv2.transform(np.ascontiguousarray(image), matrix)
