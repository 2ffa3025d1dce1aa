"""Models of instances as graphs: images in; a fixed number of instances out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.errors import ConfigError
from segsuite.modeling import FastRCNNOutputLayers, GeneralizedRCNN
from segsuite.structures import (
    BitMasks,
    Boxes,
    Instances,
    ROIMasks,
    clip_boxes,
    first_places,
    padded_size,
    whole_pixel_boxes,
)

from ..options import ExportOptions
from .agreement import compare_instances
from .base import Difference, ExportGraph
from .pasting import pasted, pasting_weights
from .slots import compacted

# The last layers, whose outputs are scores, and coordinates of boxes as parts of their sides. They
# are small, and 8 bits of one range for all would tell neither apart.
_EXACT_LAYERS = ("objectness_logits", "anchor_deltas", "cls_score", "bbox_pred")


class Found(NamedTuple):
    """The instances of N images, best first, padded to D places with zeros.

    Attributes:
        boxes: (N, D, 4) x1, y1, x2, y2 in pixels of the images, none of them empty.
        scores: (N, D) float32.
        classes: (N, D) int64.
        masks: (N, D, M, M) probabilities within the boxes; None without a mask head.
        counts: (N,) int64.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor | None
    counts: Tensor


class InstancesGraph(ExportGraph):
    """Images in, instances out, as `GeneralizedRCNN` has them.

    Inputs:
        images: (N, C, H, W) uint8.
        size: (2,) int64, H' and W', where masks are pasted.

    Outputs, D being TEST.DETECTIONS_PER_IMAGE:
        boxes: (N, D, 4) float32 x1, y1, x2, y2 in pixels of the images.
        scores: (N, D) float32, best first.
        classes: (N, D) int64.
        masks: (N, D, M, M) float32, probabilities within the boxes, if there is a mask head; or
        pasted: (N, D, H', W') bool, by option.
        count: (N,) int64: the first of each image are instances, the others zeros.

    Raises:
        ConfigError: options that a model of instances or this one does not have.
    """

    task = "instances"

    def __init__(self, model: GeneralizedRCNN, options: ExportOptions) -> None:
        super().__init__(options)
        # What PyTorch says is asked of the model itself, also where the graph's is a copy.
        self._model = [model]
        self.model = model
        self.dtype = torch.float32
        has_masks = model.roi_heads.mask_head is not None
        if options.pasted and not has_masks:
            raise ConfigError(
                f"option pasted: this {type(model).__name__} has no mask head (MODEL.MASK_ON is "
                "False); leave it out"
            )
        self.takes_size = options.pasted
        masks = ["pasted" if options.pasted else "masks"] if has_masks else []
        self.outputs: tuple[str, ...] = ("boxes", "scores", "classes", *masks, "count")

    @property
    def in_channels(self) -> int:
        return len(self.model.pixel_mean)

    @property
    def class_counts(self) -> dict[str, int]:
        return {"thing": self.model.roi_heads.num_classes}

    @property
    def size_divisibility(self) -> int:
        return self.model.backbone.size_divisibility

    @property
    def predictor(self) -> FastRCNNOutputLayers:
        """What chooses the instances; of a cascade the last stage."""
        predictor = self.model.roi_heads.box_predictor
        return cast(
            "FastRCNNOutputLayers",
            predictor[-1] if isinstance(predictor, nn.ModuleList) else predictor,
        )

    @property
    def exact_layers(self) -> list[str]:
        return [
            name for name, _ in self.named_modules() if name.rpartition(".")[2] in _EXACT_LAYERS
        ]

    def set_precision(self, dtype: torch.dtype) -> None:
        """The backbone and the hidden layers of the heads alone: of the 11 bits of float16, scores
        would be equal that are not, and coordinates beyond 2048 whole pixels off."""
        self.dtype = dtype
        self.model = copy.deepcopy(self.model)
        self.model.backbone.to(dtype)
        for module in _hidden_layers(self.model):
            _compute_in(module, dtype)

    def forward(self, images: Tensor, size: Tensor | None = None) -> tuple[Tensor, ...]:
        found = self.find(images, self.features(images))
        if size is None:
            masks = () if found.masks is None else (found.masks,)
        else:
            masks = (self.paste(found, images, size),)
        return *found[:3], *masks, found.counts

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Of the images, padded as the backbone wants them."""
        backbone = self.model.backbone
        x = (images.float() - self.model.pixel_mean) / self.model.pixel_std
        height, width = self.padded_size(images)
        x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
        return backbone(x.to(self.dtype))

    def padded_size(self, images: Tensor) -> tuple[int, int]:
        """Height and width that the images are padded to."""
        backbone = self.model.backbone
        height, width = images.shape[2:]
        return padded_size(height, width, backbone.size_divisibility, backbone.padding_constraints)

    def find(self, images: Tensor, features: dict[str, Tensor]) -> Found:
        """The instances in the images."""
        features = {name: feature.float() for name, feature in features.items()}
        found, masks = self.model.detect(features, _sizes(images))
        nonempty = (found.boxes[..., 2:] > found.boxes[..., :2]).all(2)
        kept = first_places(found.counts, found.boxes.shape[1]) & nonempty
        slots = self.predictor.topk
        return Found(
            compacted(found.boxes, kept, slots),
            compacted(found.scores, kept, slots),
            compacted(found.classes, kept, slots),
            None if masks is None else compacted(masks, kept, slots),
            kept.sum(1),
        )

    def pasting(self, found: Found, images: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """`pasting_weights` of the instances at (H', W')."""
        assert found.masks is not None
        height, width = (cast("int", x.item()) for x in size.unbind())
        torch._check(height >= 1)
        torch._check(width >= 1)
        scale = (size / _sizes(images)[:1]).flip(1).repeat(1, 2)[:, None]
        boxes = clip_boxes(found.boxes * scale, size.expand(images.shape[0], 2))
        mask_size = found.masks.shape[-1]
        if self.model.whole_pixel_masks:
            boxes = whole_pixel_boxes(boxes, mask_size)
        # The zeros behind the instances are no boxes.
        missing = ~first_places(found.counts, boxes.shape[1])
        boxes = torch.where(missing[..., None], boxes.new_tensor([0.0, 0.0, 1.0, 1.0]), boxes)
        return pasting_weights(boxes, mask_size, height, width)

    def paste(self, found: Found, images: Tensor, size: Tensor) -> Tensor:
        """(N, D, H', W') bool."""
        assert found.masks is not None
        return pasted(found.masks, *self.pasting(found, images, size))

    def inputs_of(self, record: dict[str, Any]) -> dict[str, Tensor]:
        inputs = {"images": record["image"][None]}
        if self.takes_size:
            inputs["size"] = torch.tensor(wanted_size(record))
        return inputs

    def reference(self, record: dict[str, Any]) -> dict[str, Any]:
        (model,) = self._model
        with torch.inference_mode():
            (prediction,) = model([record])
        return {**prediction, "input_size": tuple(record["image"].shape[-2:])}

    def compare(
        self, outputs: Mapping[str, Tensor], reference: Mapping[str, Any]
    ) -> list[Difference]:
        expected: Instances = reference["instances"]
        given = self._as_instances(outputs, reference["input_size"], expected.image_size)
        is_full = len(expected) == self.predictor.topk
        least = float(expected.scores.amin()) if is_full else self.predictor.score_thresh
        return compare_instances(given, expected, least, self.options.precision)

    def _as_instances(
        self, outputs: Mapping[str, Tensor], input_size: tuple[int, int], size: tuple[int, int]
    ) -> Instances:
        """The instances of a batch of one, brought to the size of the image."""
        count = int(outputs["count"][0])
        boxes = Boxes(outputs["boxes"][0, :count].clone())
        boxes.scale(size[1] / input_size[1], size[0] / input_size[0])
        boxes.clip(size)
        instances = Instances(
            size,
            pred_boxes=boxes,
            scores=outputs["scores"][0, :count],
            pred_classes=outputs["classes"][0, :count],
        )
        if "pasted" in outputs:
            instances.pred_masks = BitMasks(outputs["pasted"][0, :count])
        elif "masks" in outputs:
            masks, in_boxes = outputs["masks"][0, :count], boxes.tensor
            if self.model.whole_pixel_masks:
                in_boxes = whole_pixel_boxes(in_boxes, masks.shape[-1])
            instances.pred_masks = ROIMasks(masks, in_boxes, size)
        return instances


def wanted_size(record: dict[str, Any]) -> tuple[int, int]:
    """Height and width of what is predicted for a record."""
    height, width = record["image"].shape[-2:]
    return record.get("height", height), record.get("width", width)


def _sizes(images: Tensor) -> Tensor:
    """(N, 2) float32 height and width of the images (N, C, H, W)."""
    sides = [torch.scalar_tensor(side) for side in images.shape[2:]]
    return torch.stack(sides).expand(images.shape[0], 2)


def _hidden_layers(model: GeneralizedRCNN) -> list[nn.Module]:
    """What the heads have before the layers of `_EXACT_LAYERS`."""
    heads = model.roi_heads
    rpn_head = getattr(model.proposal_generator, "rpn_head", None)
    found = [
        getattr(rpn_head, "conv", None),
        *(getattr(heads, name, None) for name in ("box_head", "mask_head", "res5")),
    ]
    # Of a cascade the box head is a list of them.
    lists = [x if isinstance(x, nn.ModuleList) else [x] for x in found]
    return [module for modules in lists for module in modules if isinstance(module, nn.Module)]


def _compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Let a module that is given float32, and is to return it, compute in another type."""

    def cast_inputs(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)

    def cast_output(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.float()

    module.to(dtype)
    module.register_forward_pre_hook(cast_inputs)
    module.register_forward_hook(cast_output)
