"""Panoptic models as graphs: images in; segments, and the instances and labels that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segsuite.errors import ConfigError
from segsuite.modeling import PanopticFPN

from ..options import ExportOptions
from .agreement import compare_segments
from .base import Difference
from .instances import InstancesGraph
from .merging import merge_stuff, merge_things, segment_rows
from .pasting import pasted
from .resampling import logits_at


class PanopticGraph(InstancesGraph):
    """Images and the size wanted in; segments out, as `PanopticFPN` has them.

    Inputs:
        images: (N, C, H, W) uint8.
        size: (2,) int64, H' and W'.

    Outputs:
        panoptic: (N, H', W') int32, ids of segments, 0 where there is none.
        segments: (N, S, 5) float32, in the order of their ids from 1 on: category, 1 for things,
            score of things, pixels of stuff, and for things their place among the instances.
        segment_count: (N,) int64: how many of the rows are segments.
        labels: (N, H', W') uint8, int32 where there are more than 256: semantic labels.
        boxes, scores, classes, masks or pasted, count: see `InstancesGraph`.

    Raises:
        ConfigError: the model does not merge its predictions; options that it does not have.
    """

    task = "panoptic"

    def __init__(self, model: PanopticFPN, options: ExportOptions) -> None:
        super().__init__(model, options)
        if model.combine is None:
            raise ConfigError(
                "a panoptic model that does not merge its predictions can't be exported; set "
                "MODEL.PANOPTIC_FPN.COMBINE.ENABLED to True"
            )
        self.model: PanopticFPN = model
        self.takes_size = True
        self.combine = model.combine
        self.outputs = ("panoptic", "segments", "segment_count", "labels", *self.outputs)

    @property
    def class_counts(self) -> dict[str, int]:
        return {**super().class_counts, "stuff": self.model.sem_seg_head.num_classes}

    def set_precision(self, dtype: torch.dtype) -> None:
        super().set_precision(dtype)
        self.model.sem_seg_head.to(dtype)

    def forward(self, images: Tensor, size: Tensor | None = None) -> tuple[Tensor, ...]:
        assert size is not None
        features = self.features(images)
        found = self.find(images, features)
        assert found.masks is not None
        rows, columns = self.pasting(found, images, size)
        ids, things = merge_things(
            found.scores,
            found.masks,
            rows,
            columns,
            overlap_threshold=self.combine["overlap_threshold"],
            score_threshold=self.combine["score_threshold"],
        )
        labels = self._labels(images, features, size)
        num_classes = self.model.sem_seg_head.num_classes
        ids, stuff, areas = merge_stuff(
            ids, things.sum(1), labels, num_classes, area_limit=self.combine["stuff_area_limit"]
        )
        segments, count = segment_rows((things, found.classes, found.scores), (stuff, areas))
        masks = pasted(found.masks, rows, columns) if self.options.pasted else found.masks
        labels = labels.to(torch.uint8 if num_classes <= 256 else torch.int32)
        return ids, segments, count, labels, *found[:3], masks, found.counts

    def _labels(self, images: Tensor, features: dict[str, Tensor], size: Tensor) -> Tensor:
        """(N, H', W') int64."""
        model, head = self.model, self.model.sem_seg_head
        logits, stride = head.enlarged(head(features))
        by_stride = model.resize_in_two_steps or head.align_corners
        logits = logits_at(
            logits.float(),
            images.shape[2:],
            self.padded_size(images),
            size,
            stride if by_stride else None,
        )
        return logits.argmax(1)

    def compare(
        self, outputs: Mapping[str, Tensor], reference: Mapping[str, Any]
    ) -> list[Difference]:
        ids, segments = reference["panoptic_seg"]
        rows = outputs["segments"][0, : int(outputs["segment_count"][0])].tolist()
        ours = [(int(row[0]), bool(row[1])) for row in rows]
        theirs = [(segment["category_id"], segment["isthing"]) for segment in segments]
        labels = reference["sem_seg"].labels()
        wrong = (outputs["labels"][0].long() != labels).float().mean()
        return [
            *super().compare(outputs, reference),
            Difference("share of other labels", float(wrong)),
            compare_segments((outputs["panoptic"][0], ours), (ids, theirs), self.options.precision),
        ]
