"""`Frame`: where an image lies in the inputs and outputs of a graph."""

from __future__ import annotations

import numpy as np

from .images import Size, resize_bilinear
from .metadata import ExportMetadata


class Frame:
    """An image in a graph.

    Where the graph takes any size, that is all of its input. In a graph of fixed size the image
    lies in the top left corner, made smaller where it is too large, and the rest is of the mean
    colour, as what training pads is; of the outputs the part is cut out that it covers.

    Args:
        planes: (C, h, w) uint8.
        size: (height, width) of the image before it was resized.

    Attributes:
        planes: the image as it goes into the graph, without padding.
        output_size: (height, width) that the graph is asked for.
        scale: (4,) float32, what brings boxes in pixels of the input to those of the image.
    """

    def __init__(self, planes: np.ndarray, size: Size, metadata: ExportMetadata) -> None:
        self._size, self._metadata = size, metadata
        self._input: Size = (planes.shape[1], planes.shape[2])
        self.planes, self.output_size = planes, size
        if not metadata.dynamic["size"]:
            self._input = (metadata.input_size[0], metadata.input_size[1])
            self.planes = _fitted(planes, self._input)
        self._source: Size = (self.planes.shape[1], self.planes.shape[2])
        if self._source != self._input:
            self.output_size = (
                round(size[0] * self._input[0] / self._source[0]),
                round(size[1] * self._input[1] / self._source[1]),
            )
        x, y = size[1] / self._source[1], size[0] / self._source[0]
        self.scale = np.array([x, y, x, y], np.float32)

    def inputs(self) -> dict[str, np.ndarray]:
        """What the graph is given, by the names of its inputs."""
        metadata, images = self._metadata, self.planes[None]
        if self._source != self._input:
            mean = np.array(metadata.mean).round().clip(0, 255).astype(np.uint8)
            images = np.empty((1, len(mean), *self._input), np.uint8)
            images[:] = mean[:, None, None]
            images[0, :, : self._source[0], : self._source[1]] = self.planes
        if not metadata.dynamic["batch"]:
            images = np.repeat(images, metadata.batch_size, axis=0)
        inputs = {metadata.inputs[0]: images}
        if self._has_size:
            inputs[metadata.inputs[1]] = np.array(self.output_size, np.int64)
        return inputs

    def cut(self, output: np.ndarray) -> np.ndarray:
        """What an output (H', W') has for the pixels of the image: (H, W)."""
        if self._has_size:
            return output[: self._size[0], : self._size[1]]
        output = output[: self._source[0], : self._source[1]]
        if self._source == self._size:
            return output
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * s / n).astype(np.intp), s - 1)
            for n, s in zip(self._size, self._source, strict=True)
        )
        return output[rows][:, columns]

    @property
    def _has_size(self) -> bool:
        return len(self._metadata.inputs) > 1


def _fitted(planes: np.ndarray, limit: Size) -> np.ndarray:
    """Planes that are no larger than (height, width), in their own proportions."""
    height, width = planes.shape[1], planes.shape[2]
    scale = min(limit[0] / height, limit[1] / width)
    if scale >= 1:
        return planes
    size = (
        min(max(round(height * scale), 1), limit[0]),
        min(max(round(width * scale), 1), limit[1]),
    )
    image = resize_bilinear(np.ascontiguousarray(planes.transpose(1, 2, 0)), size)
    return np.ascontiguousarray(image.transpose(2, 0, 1))
