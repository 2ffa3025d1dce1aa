"""From a record of a data set to what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError

from .boxes import with_box_masks
from .image import FORMATS, ImageReader, channel_order
from .image_files import is_turned_by_exif
from .instances import MASK_FORMATS, annotations_to_instances
from .panoptic import panoptic_to_annotations, panoptic_to_sem_seg, read_panoptic
from .planes import to_planes
from .sem_seg import IGNORE_LABEL, read_sem_seg
from .tiles import crop_annotations, read_tile
from .transforms import (
    AugInput,
    Augmentation,
    AugmentationList,
    RandomCrop,
    as_augmentation,
    build_augmentations,
)


class DatasetMapper:
    """Reads the files of a record and augments them.

    Args:
        is_train: True: image and labels are augmented together; False: only the image is
            resized, and the labels stay as evaluation needs them.
        augmentations: what happens to image and labels; also a list, in which callables of
            ``torchvision.transforms.v2`` may stand, see `as_augmentation`.
        image_format: "RGB" or "BGR", the order of colour channels in the samples; "L", grey.
        image_reader: what reads the images: bands, range of values, channels. None: one of
            `image_format`.
        label_map: of the data set, as `read_sem_seg` takes it. Where records of several data
            sets are mixed, a record's own ``label_map`` comes first.
        use_instance_mask: whether objects have masks besides their boxes.
        instance_mask_format: "polygon" or "bitmask", see `annotations_to_instances`.
        masks_from_boxes: with masks, whether objects without one get their box, filled; otherwise
            they are left out.
        recompute_boxes: whether boxes are taken from the masks, for augmentations that crop.
        ignore_label: what augmentations of torchvision make of labels beyond the image's edge.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        augmentations: Augmentation | Callable[..., Any] | Sequence[Any],
        image_format: str = "BGR",
        image_reader: ImageReader | None = None,
        label_map: Mapping[int, int] | None = None,
        use_instance_mask: bool = False,
        instance_mask_format: str = "polygon",
        masks_from_boxes: bool = False,
        recompute_boxes: bool = False,
        ignore_label: int = IGNORE_LABEL,
    ) -> None:
        if image_format not in FORMATS:
            raise ConfigError(f"INPUT.FORMAT is '{image_format}': expected one of {FORMATS}")
        if instance_mask_format not in MASK_FORMATS:
            raise ConfigError(
                f"INPUT.MASK_FORMAT is '{instance_mask_format}': expected one of {MASK_FORMATS}"
            )
        self.is_train = is_train
        self.augmentations = AugmentationList([as_augmentation(augmentations, ignore_label)])
        self.image_format = image_format
        self.image_reader = image_reader or ImageReader(format=image_format)
        self.label_map = label_map
        self.mask_format = instance_mask_format if use_instance_mask else None
        self.masks_from_boxes = use_instance_mask and masks_from_boxes
        self.recompute_boxes = recompute_boxes

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool) -> dict[str, Any]:
        augmentations = build_augmentations(cfg, is_train)
        crops = any(isinstance(a, RandomCrop) for a in augmentations.augmentations)
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": channel_order(cfg),
            "image_reader": ImageReader(cfg),
            "use_instance_mask": cfg.MODEL.MASK_ON,
            "instance_mask_format": cfg.INPUT.MASK_FORMAT,
            "masks_from_boxes": cfg.INPUT.MASKS_FROM_BOXES,
            "recompute_boxes": cfg.MODEL.MASK_ON and (crops or cfg.INPUT.TILES.ENABLED),
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        }

    def __call__(
        self, record: dict[str, Any], rng: np.random.Generator | None = None
    ) -> dict[str, Any]:
        """Map one record.

        Args:
            rng: draws the augmentation; the same state gives the same sample. None: one that
                follows from NumPy's global generator, which a loader seeds for each position.

        Returns:
            ``image``: (C, H, W) uint8, 0-255; ``height`` and ``width`` of the file, or of the
            ``tile`` that the record names, and
            ``file_name`` and ``image_id`` of the record. With labels, in training ``sem_seg``:
            (H, W) integer; else ``sem_seg_gt``: (height, width) integer, not resized, and
            ``sem_seg_file_name``. A panoptic segmentation becomes such labels, and annotations
            where the record has none. With annotations, in training ``instances``: `Instances`, see
            `annotations_to_instances`.

        Raises:
            MissingFileError, DataError: see `ImageReader` and `read_sem_seg`; or the image differs
                in size from its label map, or from the ``height`` and ``width`` of the record.
        """
        if rng is None:
            rng = np.random.default_rng(np.random.randint(1 << 32, size=4, dtype=np.uint32))
        tile = record.get("tile")
        if tile is None:
            image = self.image_reader.read(record["file_name"])
            size = image.shape[0], image.shape[1]
        else:
            image, size = read_tile(record["file_name"], tile, self.image_reader)
        check_recorded_size(record, size)
        sem_seg, annotations = self.read_labels(record, size)
        if tile is not None:
            top, left, bottom, right = tile
            sem_seg = None if sem_seg is None else sem_seg[top:bottom, left:right]
            annotations = annotations and crop_annotations(annotations, size, tile)
            size = image.shape[0], image.shape[1]
        if self.masks_from_boxes and annotations:
            annotations = with_box_masks(annotations, size)
        sample = {
            "file_name": record["file_name"],
            "image_id": record["image_id"],
            "height": image.shape[0],
            "width": image.shape[1],
        }
        inputs = AugInput(image, sem_seg, annotations) if self.is_train else AugInput(image)
        self.augmentations(inputs, rng)
        sample["image"] = to_planes(inputs.image, self.image_format)
        augmented = inputs.sem_seg
        if augmented is not None:
            sample["sem_seg"] = _to_tensor(augmented)
        elif sem_seg is not None:
            sample["sem_seg_gt"] = _to_tensor(sem_seg)
            labels_file = record.get("sem_seg_file_name", record.get("pan_seg_file_name"))
            sample["sem_seg_file_name"] = labels_file
        if inputs.annotations is not None:
            sample["instances"] = annotations_to_instances(
                inputs.annotations,
                inputs.annotated_size,
                inputs.transform,
                mask_format=self.mask_format,
                recompute_boxes=self.recompute_boxes,
            )
        return sample

    def read_labels(
        self, record: dict[str, Any], size: tuple[int, int]
    ) -> tuple[np.ndarray | None, list[dict[str, Any]] | None]:
        """The semantic labels (H, W) and the annotations of a record, None where it has none."""
        annotations = record.get("annotations")
        if "pan_seg_file_name" in record:
            labels_file, info = record["pan_seg_file_name"], record["segments_info"]
            segments = read_panoptic(labels_file)
            sem_seg = panoptic_to_sem_seg(segments, info)
            if annotations is None and self.is_train:
                annotations = panoptic_to_annotations(segments, info)
        elif "sem_seg_file_name" in record:
            labels_file = record["sem_seg_file_name"]
            sem_seg = read_sem_seg(labels_file, record.get("label_map", self.label_map))
        else:
            return None, annotations
        if sem_seg.shape != size:
            raise DataError(size_mismatch(record["file_name"], size, labels_file, sem_seg.shape))
        return sem_seg, annotations


def size_mismatch(
    image: str, image_size: tuple[int, int], labels: str, labels_size: tuple[int, int]
) -> str:
    """The message for an image and a label map of different sizes (height, width)."""
    return (
        f"{image} has {image_size[0]} x {image_size[1]} pixels, its label map {labels} "
        f"{labels_size[0]} x {labels_size[1]} (height x width); expected the same. Pair the right "
        "files, or resize the label map to the nearest label"
    )


def check_recorded_size(record: dict[str, Any], size: tuple[int, int]) -> None:
    """Check that an image has the size that its annotations are for.

    Args:
        size: (height, width) of the image, upright.

    Raises:
        DataError: it has another one.
    """
    recorded = (record.get("height", size[0]), record.get("width", size[1]))
    if recorded == size:
        return
    message = (
        f"{record['file_name']} has {size[0]} x {size[1]} pixels, its annotations are for "
        f"{recorded[0]} x {recorded[1]} (height x width)"
    )
    advice = "Pair the right image and annotations, or fix the file"
    if recorded == size[::-1] and is_turned_by_exif(record["file_name"]):
        advice = (
            "Its EXIF orientation turns it by a quarter: if the annotations were made on the image "
            "as it is stored, remove that tag from the file"
        )
    elif recorded == size[::-1]:
        advice = (
            "height and width are swapped in the annotations: exchange them there, or let segsuite "
            "check --fix write a copy. If the image was turned after it was annotated, turn it back"
        )
    raise DataError(f"{message}. {advice}")


def _to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, order="C"))
