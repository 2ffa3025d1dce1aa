"""Simple copy-paste: objects of one training sample are pasted onto another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from segsuite.errors import ConfigError
from segsuite.structures import BitMasks, Instances

from .records import have_annotations

_PASTED = 0.5  # share of the objects that are pasted, in the mean


class CopyPaste:
    """A mapper around a mapper: some of its samples get objects of other records pasted on.

    Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
    Segmentation", CVPR 2021. Both samples are augmented on their own first; the paper's large-scale
    jitter is set by the keys of INPUT. Everything is drawn from the position's generator.

    Args:
        mapper: ``mapper(record, rng)``, with ``instances`` whose ``gt_masks`` are `BitMasks`.
        records: where the other record is drawn from.
        probability: of a sample to be pasted on, in (0, 1].
    """

    def __init__(
        self,
        mapper: Callable[[dict, np.random.Generator], dict[str, Any]],
        records: Sequence[dict],
        probability: float,
    ) -> None:
        if not 0 < probability <= 1:
            raise ConfigError(
                f"INPUT.COPY_PASTE_PROB is {probability}: expected a share in [0, 1], 0 for off"
            )
        self.mapper = mapper
        self.records = records
        self._with_objects = np.flatnonzero(have_annotations(records)).tolist()
        self.probability = probability
        if not self._with_objects:
            raise ConfigError("INPUT.COPY_PASTE_PROB needs a data set with annotations to paste")

    def __call__(self, record: dict, rng: np.random.Generator) -> dict[str, Any]:
        sample = self.mapper(record, rng)
        if "instances" not in sample or rng.random() >= self.probability:
            return sample
        source_index = self._with_objects[rng.integers(len(self._with_objects))]
        source = self.mapper(self.records[source_index], rng)
        instances = source["instances"]
        chosen = torch.from_numpy(rng.random(len(instances)) < _PASTED)
        return paste(sample, source, chosen)


def paste(sample: dict[str, Any], source: dict[str, Any], chosen: torch.Tensor) -> dict[str, Any]:
    """Put objects of one sample onto another, their upper left corners aligned.

    What is covered is taken from the masks below, whose boxes shrink with them; objects of which
    nothing is left are dropped. Semantic labels are pasted where both have them.

    Args:
        sample, source: with ``image`` (3, H, W) and ``instances`` with `BitMasks`, of any sizes.
        chosen: bool, one for each object of `source`.

    Returns:
        `sample`, unchanged if nothing is pasted, else a new one.
    """
    below, above = sample["instances"], source["instances"][chosen]
    size = below.image_size
    above = _with_masks(above, _fit(above.gt_masks.tensor, size))
    above = above[above.gt_masks.nonempty()]
    if not len(above):
        return sample
    covered = above.gt_masks.tensor.any(0)
    below = _with_masks(below, below.gt_masks.tensor & ~covered)
    below = below[below.gt_masks.nonempty()]
    result = {
        **sample,
        "image": torch.where(covered, _fit(source["image"], size), sample["image"]),
        "instances": Instances.cat([below, above]),
    }
    if "sem_seg" in sample and "sem_seg" in source:
        result["sem_seg"] = torch.where(covered, _fit(source["sem_seg"], size), sample["sem_seg"])
    return result


def _fit(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(..., h, w) -> (..., H, W): cut at the right and below, or filled up with zeros."""
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))


def _with_masks(instances: Instances, masks: torch.Tensor) -> Instances:
    """The same objects with other masks, and new boxes where a mask has changed."""
    old = instances.gt_masks.tensor
    same = torch.zeros(len(old), dtype=torch.bool)
    if old.shape == masks.shape:
        same = (old == masks).flatten(1).all(1)
    boxes = BitMasks(masks).get_bounding_boxes()
    boxes.tensor[same] = instances.gt_boxes.tensor[same]
    return Instances(
        (masks.shape[-2], masks.shape[-1]),
        gt_boxes=boxes,
        gt_classes=instances.gt_classes,
        gt_masks=BitMasks(masks),
    )
