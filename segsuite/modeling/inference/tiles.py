"""`TiledInstances`: objects in images larger than a detector can take at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from segsuite.errors import ConfigError
from segsuite.structures import BitMasks, Boxes, Instances, ROIMasks, WindowMasks
from segsuite.structures.image_masks import Window

from .joining import Piece, join_pieces
from .windows import window_starts


class TiledInstances(nn.Module):
    """Runs a detector on overlapping tiles and joins what it finds into the objects of the image.

    Takes and returns records as the model in evaluation does. What neighbours find in the part that
    both see tells whether two detections are one object, see `join_pieces`: objects on the borders
    of tiles become whole, also those larger than a tile, and none is there twice.

    Only one tile is in the model at a time, and of masks only their windows are kept. The limit on
    the number of detections is the model's, for each tile.

    Args:
        model: takes ``[{"image": (C, H, W)}]`` and returns ``[{"instances": Instances}]`` with
            `pred_boxes`, `scores`, `pred_classes` and maybe `pred_masks`, such as a
            `GeneralizedRCNN`.
        tile_size: (height, width) in pixels.
        overlap: share of a tile that its neighbour covers at least, in (0, 1). Objects up to that
            size are whole in one tile.
        nms_threshold: of two objects of a class whose boxes overlap more, the worse is dropped.

    Raises:
        ConfigError: a size or the overlap is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        tile_size: Sequence[int],
        overlap: float = 0.25,
        nms_threshold: float = 0.5,
    ):
        super().__init__()
        if len(tile_size) != 2 or min(tile_size) <= 0:
            raise ConfigError(
                f"TEST.SLIDING_WINDOW.SIZE is {list(tile_size)}; expected (height, width) in pixels"
            )
        if not 0 < overlap < 1:
            raise ConfigError(
                f"TEST.SLIDING_WINDOW.OVERLAP is {overlap}; expected a share between 0 and 1, as "
                "0.25: without an overlap the parts of an object on a border are not known for one"
            )
        self.model = model
        self.tile_size = tuple(tile_size)
        self.overlap = overlap
        self.nms_threshold = nms_threshold

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        return [{"instances": self._predict(record)} for record in batched_inputs]

    def _predict(self, record: dict[str, Any]) -> Instances:
        pieces = [piece for tile in self.tiles(record) for piece in tile]
        size = _size(record)
        joined = join_pieces(pieces, self.nms_threshold)
        return as_instances(joined, size, has_masks=all(p.mask is not None for p in pieces))

    def tiles(self, record: dict[str, Any]) -> Iterator[list[Piece]]:
        """What is found in each tile, in pixels of the image that the record asks for.

        Args:
            record: ``image`` may be anything that has a ``shape`` (C, H, W) and is sliced like a
                tensor, such as a file of which windows are read.
        """
        image = record["image"]
        height, width = image.shape[-2:]
        size = _size(record)
        scale = size[0] / height, size[1] / width
        starts = [
            window_starts(length, tile, self.overlap, 1)
            for length, tile in zip((height, width), self.tile_size, strict=True)
        ]
        for row, y in enumerate(starts[0]):
            for column, x in enumerate(starts[1]):
                end = min(y + self.tile_size[0], height), min(x + self.tile_size[1], width)
                # A sample for itself: what else is in the record is of the whole image.
                tile = {"image": image[:, y : end[0], x : end[1]]}
                if "file_name" in record:
                    tile["file_name"] = record["file_name"]
                found = self.model([tile])[0]["instances"].to("cpu")
                rectangle = (y * scale[0], x * scale[1], end[0] * scale[0], end[1] * scale[1])
                yield _pieces(found, (row, column), rectangle, scale, size)


def as_instances(pieces: Sequence[Piece], size: tuple[int, int], has_masks: bool) -> Instances:
    """Objects as a detector's `Instances`, best first, on the CPU.

    Args:
        size: (height, width) of the image.
        has_masks: whether there are masks, for an image without any object.
    """
    ordered = sorted(pieces, key=lambda piece: -piece.score)
    boxes = torch.tensor([piece.box for piece in ordered]).reshape(-1, 4)
    instances = Instances(
        size,
        pred_boxes=Boxes(boxes),
        scores=torch.tensor([piece.score for piece in ordered]),
        pred_classes=torch.tensor([piece.label for piece in ordered], dtype=torch.int64),
    )
    if has_masks:
        masks = [piece.mask for piece in ordered if piece.mask is not None]
        instances.pred_masks = WindowMasks(masks, size)
    return instances


def _pieces(
    found: Instances,
    place: tuple[int, int],
    rectangle: tuple[float, float, float, float],
    scale: tuple[float, float],
    size: tuple[int, int],
) -> list[Piece]:
    """The detections of a tile, moved and scaled to their place in the image."""
    factors = torch.tensor([scale[1], scale[0]] * 2)
    offset = torch.tensor([rectangle[1], rectangle[0]] * 2)
    boxes = found.pred_boxes.tensor.float() * factors + offset
    masks: Sequence[Window | None] = [None] * len(boxes)
    if found.has("pred_masks"):
        masks = _moved_masks(found.pred_masks, factors, offset, scale, size)
    return [
        Piece(place, rectangle, label, score, tuple(box), mask, size)
        for label, score, box, mask in zip(
            found.pred_classes.tolist(), found.scores.tolist(), boxes.tolist(), masks, strict=True
        )
    ]


def _moved_masks(
    masks: Any,
    factors: torch.Tensor,
    offset: torch.Tensor,
    scale: tuple[float, float],
    size: tuple[int, int],
) -> list[Window]:
    if isinstance(masks, ROIMasks):  # pasted once, at the scale that is wanted
        boxes = masks.boxes.float() * factors + offset
        return list(ROIMasks(masks.probabilities, boxes, size, masks.threshold).windows())
    if scale != (1.0, 1.0):
        raise ConfigError(
            "tiles of a model whose masks are pixels of its input need images that are not "
            "resized: set INPUT.MIN_SIZE_TEST to 0"
        )
    x, y = int(offset[0]), int(offset[1])
    if isinstance(masks, torch.Tensor):
        masks = BitMasks(masks)
    return [(top + y, left + x, window) for top, left, window in masks.windows()]


def _size(record: dict[str, Any]) -> tuple[int, int]:
    height, width = record["image"].shape[-2:]
    return record.get("height", height), record.get("width", width)
