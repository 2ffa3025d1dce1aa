"""COCO's panoptic files as evaluation needs them: the ground truth, and results of any tool.

The format is described at https://cocodataset.org/#format-results: a JSON file that says what the
segments of each image are, and a folder of PNG files, beside it and of its name, with their ids.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segsuite.data.datasets.coco_values import Ids
from segsuite.data.datasets.panoptic_json import (
    check_segments,
    parse_annotation,
    read_panoptic_json,
)
from segsuite.data.panoptic import read_panoptic
from segsuite.errors import DataError

from .coco_files import read_results
from .panoptic_metrics import PanopticSegment


@dataclass(frozen=True)
class PanopticGroundTruth:
    """The segments of each image of a data set.

    Attributes:
        json_file: the file of annotations.
        root: the folder of the PNG files.
        names, is_thing: of each category, in the order of their ids.
        indices: id -> place among the categories.
        images: id -> the image's PNG file and what its segments are.
    """

    json_file: Path
    root: Path
    names: list[str]
    is_thing: list[bool]
    indices: dict[Any, int]
    images: dict[Any, tuple[str, dict[int, PanopticSegment]]]

    @classmethod
    def read(cls, json_file: str | os.PathLike, root: str | os.PathLike) -> PanopticGroundTruth:
        """Read the annotations, without the PNG files.

        Raises:
            MissingFileError, DataError: see `read_panoptic_json`.
        """
        content = read_panoptic_json(json_file, with_images=False)
        indices = {id_: i for i, id_ in enumerate(content.categories)}
        return cls(
            Path(json_file),
            Path(root),
            [category["name"] for category in content.categories.values()],
            [category["isthing"] for category in content.categories.values()],
            indices,
            {
                image_id: (a["file_name"], _segments(a["segments_info"], indices))
                for image_id, a in content.annotations.items()
            },
        )

    def images_with_several_crowds(self) -> list[Any]:
        """The ids of the images in which a category has more than one crowd."""
        return [
            image_id
            for image_id, (_, segments) in self.images.items()
            if max(Counter(s.category for s in segments.values() if s.is_crowd).values(), default=0)
            > 1
        ]

    def target(self, image_id: int) -> torch.Tensor:
        """The ids of an image's segments: (H, W) int32, 0 for void.

        Raises:
            MissingFileError, DataError: see `read_panoptic`.
        """
        return torch.from_numpy(read_panoptic(self.root / self.images[image_id][0]))


def read_panoptic_results(
    path: str | os.PathLike, truth: PanopticGroundTruth
) -> Iterator[tuple[int, torch.Tensor, dict[int, PanopticSegment]]]:
    """Read a results file and, one after another, its PNG files.

    Yields:
        For each image its id, the ids of its segments (H, W) int32, and what they are.

    Raises:
        MissingFileError: a file is missing.
        DataError: it is another kind of file, or does not belong to this ground truth.
    """
    path = Path(path)
    content = read_results(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise DataError(
            f"{path} is not a file of panoptic results: expected an object with 'annotations', a "
            "list"
        )
    categories, images = Ids(truth.indices), Ids(truth.images)
    seen = set()
    for entry in content["annotations"]:
        annotation = parse_annotation(entry, categories, images, path)
        image_id = annotation["image_id"]
        if image_id not in truth.images:
            raise DataError(f"{path}: image_id {image_id!r} is not in {truth.json_file}")
        if image_id in seen:
            raise DataError(f"{path}: image_id {image_id} occurs twice")
        seen.add(image_id)
        segments = _segments(check_segments(annotation, categories, path), truth.indices)
        ids = read_panoptic(path.with_suffix("") / annotation["file_name"])
        yield image_id, torch.from_numpy(ids), segments


def _segments(infos: list[dict[str, Any]], indices: dict[Any, int]) -> dict[int, PanopticSegment]:
    return {
        info["id"]: PanopticSegment(indices[info["category_id"]], bool(info["iscrowd"]))
        for info in infos
    }
