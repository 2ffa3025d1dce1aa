"""What augmentations are, what they work on, and where they are registered.

Every draw takes an explicit generator; there is no global random state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segsuite.utils.registry import Registry

from ..randomness import seeded_globals
from ..sem_seg import IGNORE_LABEL
from .transform import Size, Transform, TransformList, fuse

# Callables (cfg, **arguments) -> Augmentation, by an entry of INPUT.AUGMENTATIONS.
AUGMENTATION_REGISTRY = Registry("AUGMENTATION")


class AugInput:
    """A sample while it is augmented: the image and its labels, as far as it has come.

    Transforms are noted down by `apply` and computed when they are asked for, all at once: what a
    crop cuts away is never resized.

    Args:
        image: (H, W, C) uint8; three channels are RGB.
        sem_seg: (H, W) integer labels, or None where there are none.
        annotations: of objects, as records have them, or None.

    Attributes:
        size: (height, width) as it is by now.
    """

    def __init__(
        self,
        image: np.ndarray,
        sem_seg: np.ndarray | None = None,
        annotations: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.replace(image, sem_seg, annotations)

    def replace(
        self,
        image: np.ndarray,
        sem_seg: np.ndarray | None,
        annotations: Sequence[dict[str, Any]] | None,
    ) -> None:
        """Go on with another image and labels, on which no transform is outstanding."""
        self._image, self._sem_seg = image, sem_seg
        self.annotations = annotations
        self.annotated_size: Size = (image.shape[0], image.shape[1])
        self.size = self.annotated_size
        self._transforms: list[Transform] = []
        self._fused: TransformList | None = None

    def apply(self, transform: Transform) -> None:
        """Note down a transform of all."""
        self.size = transform.output_size(self.size)
        self._transforms.append(transform)
        self._fused = None

    @property
    def transform(self) -> TransformList:
        """What is noted down: from `annotated_size`, which `annotations` are for, to `size`."""
        if self._fused is None:
            self._fused = fuse(self._transforms)
        return self._fused

    @property
    def image(self) -> np.ndarray:
        """(h, w, C) uint8, transformed."""
        return self.transform.apply_image(self._image)

    @property
    def has_sem_seg(self) -> bool:
        return self._sem_seg is not None

    @property
    def sem_seg(self) -> np.ndarray | None:
        """(h, w) integer labels, transformed, or None where there are none."""
        return None if self._sem_seg is None else self.transform.apply_segmentation(self._sem_seg)


class Augmentation:
    """Changes a sample at random; a subclass defines `get_transform`.

    One that draws no `Transform` overrides ``__call__`` instead, and uses `AugInput.replace`.
    """

    def get_transform(self, inputs: AugInput, rng: np.random.Generator) -> Transform:
        """Draw a transform for `inputs`, all that is random about it from `rng`."""
        raise NotImplementedError

    def __call__(self, inputs: AugInput, rng: np.random.Generator) -> None:
        """Augment `inputs`, in place."""
        inputs.apply(self.get_transform(inputs, rng))


class AugmentationList(Augmentation):
    """Several augmentations, one after another.

    Args:
        augmentations: also lists of them, and callables, see `as_augmentation`.
        ignore_label: for callables, what labels beyond the old image's edge become.
    """

    def __init__(
        self,
        augmentations: Sequence[Augmentation | Callable[..., Any]],
        ignore_label: int = IGNORE_LABEL,
    ) -> None:
        self.augmentations: list[Augmentation] = []
        for augmentation in augmentations:
            built = as_augmentation(augmentation, ignore_label)
            flat = built.augmentations if isinstance(built, AugmentationList) else [built]
            self.augmentations += flat

    def __call__(self, inputs: AugInput, rng: np.random.Generator) -> None:
        for augmentation in self.augmentations:
            if type(augmentation).__module__.startswith("segsuite."):
                augmentation(inputs, rng)
            else:
                # Somebody else's may draw from NumPy's or Python's generator, as Detectron2's do.
                with seeded_globals(rng):
                    augmentation(inputs, rng)


def as_augmentation(
    augmentation: Augmentation | Callable[..., Any] | Sequence[Any],
    ignore_label: int = IGNORE_LABEL,
) -> Augmentation:
    """An augmentation as it is, several as one, any other callable as one of torchvision's.

    Args:
        augmentation: an `Augmentation`; a callable that takes and returns a dict of torchvision's
            ``tv_tensors``, as all of ``torchvision.transforms.v2``; or a list of these.
        ignore_label: see `TorchvisionAugmentation`.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(augmentation, Augmentation):
        return augmentation
    if isinstance(augmentation, (list, tuple)):
        return AugmentationList(augmentation, ignore_label)
    if not callable(augmentation):
        raise TypeError(
            f"a {type(augmentation).__name__} is no augmentation; expected an Augmentation, a "
            "transform of torchvision.transforms.v2, or a list of them"
        )
    from .torchvision_v2 import TorchvisionAugmentation

    return TorchvisionAugmentation(augmentation, ignore_label=ignore_label)
