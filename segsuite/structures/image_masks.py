"""Masks of an image's instances that are known in windows of it, never as a whole (N, H, W)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from .masks import BitMasks, Index
from .rle import RLE, decode_masks, encode_window, to_rle

Window = tuple[int, int, Tensor]
T = TypeVar("T", bound="HasWindows")


class HasWindows(Protocol):
    """N masks of one image: `ImageMasks` and `BitMasks`."""

    @property
    def image_size(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self: T, index: Index) -> T: ...

    def windows(self) -> Iterator[Window]: ...


class ImageMasks:
    """N masks of an image, each a window of pixels outside of which it is empty.

    A subclass has `image_size`, (height, width) in pixels, and writes `windows`, ``__len__`` and
    ``__getitem__``.
    """

    image_size: tuple[int, int]

    def windows(self) -> Iterator[Window]:
        """For each instance the part of the image that its mask lies in: the first row and column
        of it and its pixels, (h, w) bool."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Tensor]:
        """The masks, (H, W) bool each, one at a time."""
        for y, x, window in self.windows():
            mask = window.new_zeros(self.image_size)
            mask[y : y + window.shape[0], x : x + window.shape[1]] = window
            yield mask

    @property
    def tensor(self) -> Tensor:
        """(N, H, W) bool: all of the memory that the windows save."""
        masks = torch.zeros(0, *self.image_size, dtype=torch.bool)
        for i, (y, x, window) in enumerate(self.windows()):
            if not i:
                masks = window.new_zeros(len(self), *self.image_size)
            masks[i, y : y + window.shape[0], x : x + window.shape[1]] = window
        return masks

    def to_bitmasks(self) -> BitMasks:
        return BitMasks(self.tensor)

    def rle(self) -> list[RLE]:
        """COCO's run-length encodings, `counts` as str, without a mask of the image in memory."""
        return [encode_window(window, y, x, self.image_size) for y, x, window in self.windows()]


class WindowMasks(ImageMasks):
    """Masks that are stored as their windows.

    Args:
        windows: first row, first column and pixels, (h, w) bool, of each mask; they lie within the
            image.
        image_size: (height, width) in pixels.
    """

    def __init__(self, windows: Iterable[Window], image_size: tuple[int, int]) -> None:
        self._windows, self.image_size = list(windows), image_size

    def windows(self) -> Iterator[Window]:
        return iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: Index) -> WindowMasks:
        """Some of the masks, or one: always `WindowMasks`."""
        chosen = [self._windows[i] for i in numbers(index, len(self))]
        return WindowMasks(chosen, self.image_size)

    def to(self, *args: Any, **kwargs: Any) -> WindowMasks:
        """As `torch.Tensor.to`, for a device."""
        moved = [(y, x, window.to(*args, **kwargs)) for y, x, window in self._windows]
        return WindowMasks(moved, self.image_size)

    @staticmethod
    def cat(masks: Sequence[WindowMasks]) -> WindowMasks:
        """Join masks of one image, one after another."""
        windows = [window for of_part in masks for window in of_part.windows()]
        return WindowMasks(windows, masks[0].image_size)


class SegmentationMasks(ImageMasks):
    """The masks of annotations, drawn one at a time when they are asked for.

    Args:
        segmentations: of each object polygons or an RLE, as `to_rle` takes them.
        image_size: (height, width) in pixels.
    """

    def __init__(self, segmentations: Sequence[Any], image_size: tuple[int, int]) -> None:
        self._segmentations, self.image_size = segmentations, image_size

    def windows(self) -> Iterator[Window]:
        """
        Raises:
            DataError: see `to_rle`.
        """
        for segmentation in self._segmentations:
            rle = to_rle(segmentation, *self.image_size)
            yield 0, 0, decode_masks([rle], *self.image_size)[0]

    def __len__(self) -> int:
        return len(self._segmentations)

    def __getitem__(self, index: Index) -> SegmentationMasks:
        """Some of the masks, or one: always `SegmentationMasks`."""
        chosen = [self._segmentations[i] for i in numbers(index, len(self))]
        return SegmentationMasks(chosen, self.image_size)


def masks_union(masks: HasWindows, chosen: Iterable[int]) -> Tensor:
    """The pixels of any of the chosen masks: (H, W) bool, on the CPU."""
    covered = torch.zeros(masks.image_size, dtype=torch.bool)
    for i in chosen:
        for y, x, window in masks[i].windows():
            covered[y : y + window.shape[0], x : x + window.shape[1]] |= window.cpu()
    return covered


def numbers(index: Index, length: int) -> list[int]:
    """The numbers of the entries that an index of a sequence of `length` chooses."""
    if isinstance(index, int):
        return [index]
    if isinstance(index, slice):
        return list(range(length))[index]
    index = torch.as_tensor(index, device="cpu")
    if index.dtype == torch.bool:
        if len(index) != length:
            raise IndexError(f"a mask of {len(index)} values for {length} entries")
        index = index.nonzero()[:, 0]
    return [int(i) for i in index]
