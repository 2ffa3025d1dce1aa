"""`ExportGraph`: what the graphs of all tasks share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.errors import ConfigError

from ..options import ExportOptions


@dataclass(frozen=True)
class Difference:
    """How far an exported file is from PyTorch on one image.

    Attributes:
        what: is compared: "confidence".
        value: the difference, 0 where both are equal.
        bound: the largest that is taken for rounding; none where any is told, and no more.
    """

    what: str
    value: float
    bound: float = math.inf


class ExportGraph(nn.Module, ABC):
    """A model as a module that takes tensors, returns a tuple of tensors, and can be exported.

    Its ``forward`` takes the tensors of `example`, in that order, and returns those that `outputs`
    names.

    Args:
        options: what was asked for.

    Attributes:
        task: "semantic", "instances" or "panoptic".
        outputs: the names of the outputs.
        takes_size: there is an input ``size``, (2,) int64: height and width of the outputs.
        example_size: height and width of the images that are traced where any size will do.
    """

    task: str
    outputs: Sequence[str]
    takes_size: bool
    example_size: tuple[int, int] = (128, 192)

    def __init__(self, options: ExportOptions) -> None:
        super().__init__()
        self.options = options

    @property
    @abstractmethod
    def in_channels(self) -> int:
        """Channels of the images."""

    @property
    @abstractmethod
    def class_counts(self) -> dict[str, int]:
        """How many classes there are of "thing", those of instances, and of "stuff", those of label
        maps, where a graph has such."""

    @property
    @abstractmethod
    def size_divisibility(self) -> int:
        """What the sides of the images are padded to multiples of."""

    @abstractmethod
    def inputs_of(self, record: dict[str, Any]) -> dict[str, Tensor]:
        """What `forward` takes for one record as the mappers make them (``image`` (C, H, W) uint8,
        ``height``, ``width``), by name, with a batch of one."""

    def records_to_inputs(self, record: dict[str, Any]) -> dict[str, Tensor]:
        """`inputs_of` a record, with its image in all places of a fixed batch."""
        inputs = self.inputs_of(record)
        images = inputs["images"].repeat(self.options.batch or 1, 1, 1, 1)
        return {**inputs, "images": images}

    @abstractmethod
    def reference(self, record: dict[str, Any]) -> dict[str, Any]:
        """What PyTorch's own model says about a record, by the names of `compare`'s outputs."""

    @abstractmethod
    def compare(
        self, outputs: Mapping[str, Tensor], reference: Mapping[str, Any]
    ) -> list[Difference]:
        """How far the outputs of an exported file for one record are from `reference`."""

    @property
    def exact_layers(self) -> list[str]:
        """Names of the layers that int8 leaves in float32."""
        return []

    def set_precision(self, dtype: torch.dtype) -> None:
        """Let the network compute in another floating point type; the model stays what it is.

        Raises:
            ConfigError: it can't.
        """
        raise ConfigError(
            f"precision {self.options.precision}: a graph of the task {self.task} has none but "
            "float32"
        )

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with, by name."""
        height, width = self.options.size or self.example_size
        generator = torch.Generator().manual_seed(0)
        shape = (self.in_channels, height, width)
        image = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        inputs = self.inputs_of({"image": image, "height": height, "width": width})
        # Two images where any number will do: a batch of one is taken for a constant.
        batch = self.options.batch or 2
        images = inputs["images"]
        return {**inputs, "images": images.expand(batch, *images.shape[1:]).contiguous()}

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Which dimensions of the inputs may change, as `torch.export.export` takes them."""
        images: dict[int, Any] = {}
        dynamic = torch.export.Dim.DYNAMIC
        if self.options.batch is None:
            images[0] = dynamic
        if self.options.size is None:
            images |= {2: dynamic, 3: dynamic}
        return {name: images if name == "images" else {} for name in self.example()}
