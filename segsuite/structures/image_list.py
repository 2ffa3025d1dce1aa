"""`ImageList`: images of different sizes in one padded tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass
class ImageList:
    """A batch of images padded at the right and the bottom.

    Attributes:
        tensor: (N, C, Hp, Wp), or (N, Hp, Wp) for maps without channels.
        image_sizes: (h, w) of each image before padding, in pixels.
    """

    tensor: torch.Tensor
    image_sizes: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.image_sizes)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Image `index` without its padding: (C, h, w) or (h, w), a view."""
        h, w = self.image_sizes[index]
        return self.tensor[index, ..., :h, :w]

    @classmethod
    def from_tensors(
        cls,
        tensors: Sequence[torch.Tensor],
        size_divisibility: int = 0,
        pad_value: float = 0.0,
        padding_constraints: Mapping[str, int] | None = None,
    ) -> ImageList:
        """Pad to the largest height and width, then up to a multiple of `size_divisibility`.

        Args:
            tensors: (C, h, w) or (h, w) each, of one dtype and device.
            size_divisibility: 0 or 1 for none.
            padding_constraints: as backbones of Detectron2 have them: "square_size", the side that
                height and width are padded to, and "size_divisibility", which takes the place of
                the argument.

        Raises:
            ValueError: there are no images, or they differ in channels, dtype or device, or one is
                larger than "square_size".
        """
        if not tensors:
            raise ValueError("ImageList needs at least one image, got an empty batch")
        first = tensors[0]
        for i, t in enumerate(tensors):
            if (t.shape[:-2], t.dtype, t.device) != (first.shape[:-2], first.dtype, first.device):
                raise ValueError(
                    f"images of a batch must agree in channels, dtype and device: image 0 is "
                    f"{_describe(first)}, image {i} is {_describe(t)}"
                )
        sizes = [(t.shape[-2], t.shape[-1]) for t in tensors]
        height, width = padded_size(
            max(h for h, _ in sizes),
            max(w for _, w in sizes),
            size_divisibility,
            padding_constraints,
        )
        if all(size == (height, width) for size in sizes):
            return cls(torch.stack(list(tensors)), sizes)
        batch = first.new_full((len(tensors), *first.shape[:-2], height, width), pad_value)
        for padded, t, (h, w) in zip(batch, tensors, sizes, strict=True):
            padded[..., :h, :w].copy_(t)
        return cls(batch, sizes)


def padded_size(
    height: int,
    width: int,
    size_divisibility: int = 0,
    padding_constraints: Mapping[str, int] | None = None,
) -> tuple[int, int]:
    """The size that images of height x width pixels are padded to.

    Args:
        size_divisibility, padding_constraints: see `ImageList.from_tensors`.

    Raises:
        ValueError: they are larger than "square_size".
    """
    constraints = padding_constraints or {}
    square = constraints.get("square_size", 0)
    if square > 0:
        if max(height, width) > square:
            raise ValueError(
                f"the backbone takes images of at most {square} x {square} pixels, the largest "
                f"of the batch is {height} x {width} (height x width); lower "
                "INPUT.MIN_SIZE_* and INPUT.MAX_SIZE_*, or crop"
            )
        height = width = square
    d = max(constraints.get("size_divisibility", size_divisibility), 1)
    if d == 1:
        return height, width
    # Without negative numbers, whose quotients ONNX rounds to the other side.
    return (height + d - 1) // d * d, (width + d - 1) // d * d


def size_tensor(image_sizes: Sequence[tuple[float, float]], device: torch.device) -> torch.Tensor:
    """(N, 2) float32 height and width of each image, for computing with them on `device`."""
    sizes = torch.tensor(image_sizes, dtype=torch.float32).view(-1, 2)
    return sizes.to(device, non_blocking=True)


def _describe(t: torch.Tensor) -> str:
    return f"{tuple(t.shape)} {t.dtype} on {t.device}"
