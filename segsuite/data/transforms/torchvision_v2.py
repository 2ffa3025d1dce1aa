"""Transforms of ``torchvision.transforms.v2`` as augmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision import tv_tensors
from torchvision.transforms import v2

from segsuite.config import read_entries
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.structures import BitMasks
from segsuite.utils.registry import unknown_name

from ..boxes import corner_boxes
from ..masks import draw_masks
from ..randomness import seeded_globals
from ..sem_seg import IGNORE_LABEL
from .base import AugInput, Augmentation
from .transform import Transform

PREFIX = "torchvision."

# They change colours alone, so labels and polygons need not be touched.
_PHOTOMETRIC = (
    *("ColorJitter", "GaussianBlur", "GaussianNoise", "Grayscale", "Identity", "JPEG"),
    *("RGB", "RandomAdjustSharpness", "RandomAutocontrast", "RandomChannelPermutation"),
    *("RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomInvert"),
    *("RandomPhotometricDistort", "RandomPosterize", "RandomSolarize"),
)
_NEED_BOXES = ("RandomIoUCrop", "SanitizeBoundingBoxes")
_EMPTY = 1e-5  # sides of boxes, in pixels, that count as none


class _Frame(tv_tensors.Mask):
    """(2, H, W): the label map, or zeros, and the same plus one.

    Where the two still differ by one a pixel comes from the old image. Where they are equal it was
    filled, with whatever number, and is neither a class nor part of an object.
    """

    def __getitem__(self, index: Any) -> torch.Tensor:
        # SanitizeBoundingBoxes takes every Mask for the objects', and keeps some of them like this.
        is_choice = isinstance(index, torch.Tensor) and index.dtype == torch.bool
        return self if is_choice else super().__getitem__(index)


class TorchvisionAugmentation(Augmentation):
    """A transform of ``torchvision.transforms.v2`` on image, label map, boxes and masks jointly.

    What the transform draws from global generators follows from the position's generator. Label
    maps and masks are never blended; pixels from beyond the old image's edge become `ignore_label`,
    and belong to no object, whatever the transform's ``fill`` is. (A ``fill`` of a number for each
    channel is for images alone: ``fill={tv_tensors.Image: (124, 116, 104), "others": 0}``.) Objects
    are dropped with their box, by `SanitizeBoundingBoxes` or because nothing is left of it, so
    `RandomIoUCrop` needs no more. Masks that are moved become bit masks, and are what the box is
    taken from, too. Transforms of colours alone leave polygons and boxes as they are.

    Args:
        transform: called with a dict of ``image`` (C, H, W) uint8, ``labels`` (N,), ``boxes``
            and masks, of which it keeps keys and types.
        ignore_label: of the label maps.
    """

    def __init__(self, transform: Callable[..., Any], *, ignore_label: int = IGNORE_LABEL) -> None:
        self.transform, self.ignore_label = transform, ignore_label
        parts = list(_parts(transform))
        self._is_torchvisions = all(
            type(p).__module__.startswith("torchvision.") and not isinstance(p, v2.Lambda)
            for p in parts
        )
        self._is_photometric = all(_is_one_of(part, _PHOTOMETRIC) for part in parts)
        self._needs_boxes = any(_is_one_of(part, _NEED_BOXES) for part in parts)

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        """For a transform of colours alone."""
        if not self._is_photometric:
            raise TypeError(f"{self.transform} is applied to a sample as a whole: call it")
        return _ImageTransform(self.transform, int(rng.integers(1 << 62)))

    def __call__(self, inputs: AugInput, rng: np.random.Generator) -> None:
        if self._is_photometric:
            super().__call__(inputs, rng)
            return
        objects = None
        if inputs.annotations is not None:
            objects = _Objects(inputs)
            if self._needs_boxes and not objects.annotations:
                return
        sample = self._sample(inputs, objects)
        with seeded_globals(rng):
            result = self._transformed(sample)
        image = _checked_image(result["image"], self.transform, inputs.image.shape[2])
        frame = np.asarray(result["frame"].as_subclass(torch.Tensor))
        is_inside = frame[1] - frame[0] == 1
        sem_seg = None
        if inputs.has_sem_seg:
            sem_seg = np.where(is_inside, frame[0], np.array(self.ignore_label, frame.dtype))
        annotations = None if objects is None else objects.moved(result, is_inside)
        inputs.replace(image, sem_seg, annotations)

    def _transformed(self, sample: dict[str, Any]) -> Mapping[str, Any]:
        if not self._is_torchvisions:
            return self.transform(sample)
        try:
            return self.transform(sample)
        except (TypeError, ValueError) as e:
            what = str(e).replace(_Frame.__name__, tv_tensors.Mask.__name__)
            raise ConfigError(
                f"the augmentation {self.transform} can't be applied to images together with their "
                f"labels: {what}"
            ) from e

    def _sample(self, inputs: AugInput, objects: _Objects | None) -> dict[str, Any]:
        sem_seg = inputs.sem_seg
        labels = np.zeros(inputs.size, np.uint8) if sem_seg is None else sem_seg
        if labels.dtype not in (np.uint8, np.int16, np.int64):
            labels = labels.astype(np.int32)
        sample = {
            "image": tv_tensors.Image(_tensor(inputs.image).permute(2, 0, 1)),
            # (255 + 1 is 0 in 8 bits, and 0 - 255 is 1.)
            "frame": _Frame(_tensor(np.stack([labels, labels + labels.dtype.type(1)]))),
        }
        return sample if objects is None else {**sample, **objects.tensors()}


class _Objects:
    """The objects of a sample, as they are when a transform of torchvision comes to them."""

    def __init__(self, inputs: AugInput) -> None:
        old, transform, self.size = inputs.annotated_size, inputs.transform, inputs.size
        annotations = [a for a in inputs.annotations or () if not a.get("iscrowd", 0)]
        boxes = transform.apply_box(corner_boxes(annotations, old, np.float32))
        boxes = boxes.clip(0, [*self.size[::-1]] * 2).astype(np.float32)
        is_left = _is_box(boxes)
        self.annotations = [a for a, left in zip(annotations, is_left, strict=True) if left]
        self.boxes = boxes[is_left]
        segmentations = [a.get("segmentation", ()) for a in self.annotations]
        self.has_mask = np.array([len(s) > 0 for s in segmentations], dtype=bool)
        self.masks = np.zeros((len(segmentations), *self.size), np.uint8)
        if self.has_mask.any():
            drawn = draw_masks([s for s in segmentations if len(s)], old)
            self.masks[self.has_mask] = transform.apply_masks(drawn)

    def tensors(self) -> dict[str, Any]:
        """What torchvision is given of them."""
        if not self.annotations:
            return {}
        xyxy = tv_tensors.BoundingBoxFormat.XYXY
        return {
            "boxes": tv_tensors.BoundingBoxes(
                torch.from_numpy(self.boxes), format=xyxy, canvas_size=self.size
            ),
            "labels": torch.arange(len(self.annotations)),
            "masks": tv_tensors.Mask(torch.from_numpy(self.masks)),
        }

    def moved(self, result: Mapping[str, Any], is_inside: np.ndarray) -> list[dict[str, Any]]:
        """The annotations of what is left of them."""
        if not self.annotations:
            return []
        height, width = is_inside.shape
        boxes = result["boxes"]
        if isinstance(boxes, tv_tensors.BoundingBoxes):
            boxes = v2.functional.convert_bounding_box_format(
                boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY
            )
        boxes = np.asarray(boxes.as_subclass(torch.Tensor), dtype=np.float32)
        boxes = boxes.clip(0, [width, height, width, height])
        masks = np.asarray(result["masks"].as_subclass(torch.Tensor)) * is_inside
        annotations = []
        for box, mask, index in zip(boxes, masks, result["labels"].tolist(), strict=True):
            has_mask = self.has_mask[index]
            if not _is_box(box) or (has_mask and not mask.any()):
                continue
            annotation = {k: v for k, v in self.annotations[index].items() if k != "bbox_mode"}
            if has_mask:
                annotation["segmentation"] = coco_mask.encode(np.asfortranarray(mask))
                if not np.array_equal(mask, self.masks[index]):
                    box = BitMasks(mask[None]).get_bounding_boxes().tensor[0].numpy()
            annotation["bbox"] = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            annotations.append(annotation)
        return annotations


def _is_box(box: np.ndarray) -> np.ndarray:
    """Whether boxes (..., 4) have an area."""
    return (box[..., 2:] - box[..., :2] > _EMPTY).all(-1)


class _ImageTransform(Transform):
    """A transform of colours alone, with what it draws."""

    def __init__(self, transform: Callable[..., Any], seed: int) -> None:
        self.transform, self.seed = transform, seed

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        with seeded_globals(np.random.default_rng(self.seed)):
            result = self.transform(tv_tensors.Image(_tensor(image).permute(2, 0, 1)))
        return _checked_image(result, self.transform, image.shape[2])


def _tensor(array: np.ndarray) -> torch.Tensor:
    # PyTorch has no tensors of negative strides, nor of read-only memory.
    return torch.from_numpy(np.require(array, requirements=["C_CONTIGUOUS", "WRITEABLE"]))


def _checked_image(image: Any, transform: Any, channels: int) -> np.ndarray:
    if (
        not isinstance(image, torch.Tensor)
        or image.dtype != torch.uint8
        or image.ndim != 3
        or image.shape[0] != channels
    ):
        is_tensor = isinstance(image, torch.Tensor)
        what = f"{tuple(image.shape)} {image.dtype}" if is_tensor else type(image).__name__
        raise ConfigError(
            f"the augmentation {transform} gave an image that is {what}; expected a tensor "
            f"({channels}, H, W) uint8. Conversions and normalisation are the model's "
            "(MODEL.PIXEL_MEAN, PIXEL_STD)"
        )
    planes = image.as_subclass(torch.Tensor).permute(1, 2, 0)
    return np.ascontiguousarray(planes.numpy())


def _parts(transform: Any) -> Iterator[Any]:
    """What containers such as v2.Compose and v2.RandomApply consist of."""
    containers = (v2.Compose, v2.RandomApply, v2.RandomChoice, v2.RandomOrder)
    if type(transform) in containers:
        for part in transform.transforms:
            yield from _parts(part)
    else:
        yield transform


def _is_one_of(transform: Any, names: tuple[str, ...]) -> bool:
    return any(type(transform) is getattr(v2, name, None) for name in names)


def build_torchvision(name: str, arguments: Mapping[str, Any], key: str) -> v2.Transform:
    """The transform that an entry such as ``{torchvision.RandomRotation: {DEGREES: 10}}`` asks for.

    Args:
        name: with the prefix "torchvision.".
        arguments: those of its constructor. ``interpolation`` is a name such as "bilinear"; `fill`
            is that of the image; `transforms`, which containers have, are entries again.
        key: where the entry stands.

    Raises:
        UnknownNameError: torchvision has no such transform.
        ConfigError: it does not take these arguments.
    """
    kinds = {
        known: kind
        for known, kind in vars(v2).items()
        if isinstance(kind, type) and issubclass(kind, v2.Transform) and kind is not v2.Transform
    }
    short = name.removeprefix(PREFIX)
    if short not in kinds:
        raise UnknownNameError(f"{key}: {unknown_name(short, kinds, 'torchvision.transforms.v2')}")
    options = dict(arguments)
    try:
        if isinstance(options.get("interpolation"), str):
            options["interpolation"] = v2.InterpolationMode(options["interpolation"])
        if "fill" in options:
            options["fill"] = {tv_tensors.Image: options["fill"], "others": 0}
        if "transforms" in options:
            entries = read_entries(options["transforms"], f"{key}: {name}")
            options["transforms"] = [build_torchvision(n, a, key) for n, a in entries]
        return kinds[short](**options)
    except ConfigError:
        raise
    except (TypeError, ValueError) as e:
        given = ", ".join(f"{k.upper()} {v}" for k, v in arguments.items()) or "no arguments"
        raise ConfigError(f"{key}: {name} with {given}: {e}") from e
