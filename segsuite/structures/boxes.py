"""`Boxes`: axis-aligned boxes, and how much they overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class Boxes:
    """(N, 4) boxes as x1, y1, x2, y2 in pixels; x2 and y2 are outside, so the width is x2 - x1.

    Args:
        tensor: (N, 4), or anything empty; stored as float32 unless it is floating point already.

    Raises:
        ValueError: another shape.
    """

    def __init__(self, tensor: Tensor | Sequence[Sequence[float]]):
        tensor = torch.as_tensor(tensor)
        if not tensor.is_floating_point():
            tensor = tensor.float()
        if tensor.numel() == 0:
            tensor = tensor.reshape(-1, 4)
        if tensor.dim() != 2 or tensor.shape[1] != 4:
            raise ValueError(f"boxes are (N, 4) x1, y1, x2, y2, got {tuple(tensor.shape)}")
        self.tensor = tensor

    def area(self) -> Tensor:
        """(N,) in square pixels."""
        width, height = (self.tensor[:, 2:] - self.tensor[:, :2]).unbind(1)
        return width * height

    def clip(self, image_size: tuple[int, int]) -> None:
        """Move what is outside of an image of (height, width) to its border, in place."""
        self.tensor = clip_boxes(self.tensor, image_size)

    def nonempty(self, threshold: float = 0.0) -> Tensor:
        """(N,) bool: both sides are longer than `threshold` pixels."""
        return (self.tensor[:, 2:] - self.tensor[:, :2] > threshold).all(1)

    def scale(self, scale_x: float, scale_y: float) -> None:
        """Multiply the coordinates, in place."""
        self.tensor = self.tensor * self.tensor.new_tensor([scale_x, scale_y, scale_x, scale_y])

    def get_centers(self) -> Tensor:
        """(N, 2) x, y."""
        return (self.tensor[:, :2] + self.tensor[:, 2:]) / 2

    def clone(self) -> Boxes:
        return Boxes(self.tensor.clone())

    def to(self, *args: Any, **kwargs: Any) -> Boxes:
        """Arguments as for `torch.Tensor.to`."""
        return Boxes(self.tensor.to(*args, **kwargs))

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    def __getitem__(self, item: int | slice | Tensor) -> Boxes:
        """Boxes again, one of them too: ``boxes[3]`` holds one box."""
        return Boxes(self.tensor[item].view(-1, 4))

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        """(4,) each."""
        return iter(self.tensor)

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"

    @classmethod
    def cat(cls, boxes: Sequence[Boxes]) -> Boxes:
        return cls(torch.cat([b.tensor for b in boxes]) if boxes else torch.empty(0, 4))


def clip_boxes(boxes: Tensor, image_size: tuple[int, int] | Tensor) -> Tensor:
    """Move the coordinates of boxes into their image.

    Args:
        boxes: (..., 4), or (N, L, 4) of N images.
        image_size: (height, width), or (N, 2) of each image.
    """
    if isinstance(image_size, Tensor):
        most = image_size.to(boxes.dtype).flip(-1).repeat(1, 2)[:, None]
        return torch.minimum(boxes.clamp(min=0), most)
    height, width = image_size
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)


def pairwise_iou(a: Boxes, b: Boxes) -> Tensor:
    """(N, M): intersection over union of each of `a` with each of `b`; 0 where they are apart.

    Empty boxes overlap nothing.
    """
    return iou_matrix(a.tensor, b.tensor)


def iou_matrix(a: Tensor, b: Tensor) -> Tensor:
    """`pairwise_iou` of (..., N, 4) and (..., M, 4) boxes, whose leading axes broadcast: (..., N,
    M), float32 or wider."""
    if a.dtype in (torch.float16, torch.bfloat16):
        a, b = a.float(), b.float()
    # One plane for each coordinate: the inner loops run over neighbours in memory.
    planes = a.mT.contiguous().unsqueeze(-1), b.mT.contiguous().unsqueeze(-2)
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = (p.unbind(-3) for p in planes)
    width = torch.minimum(right, right_b).sub_(torch.maximum(left, left_b)).clamp_(min=0)
    height = torch.minimum(bottom, bottom_b).sub_(torch.maximum(top, top_b)).clamp_(min=0)
    intersection = width.mul_(height)
    areas = (right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b)
    return intersection.div_(areas.sub_(intersection)).nan_to_num_(0.0)
