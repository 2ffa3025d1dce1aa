"""Semantic models as graphs: images in; labels and confidence, or logits, out."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segsuite.modeling import SemanticSegmentor
from segsuite.structures import SemSegLogits, label_logits

from ..options import ExportOptions
from .base import Difference, ExportGraph
from .resampling import logits_at

# Of logits, as a share of the largest one, and of probabilities.
_BOUNDS = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5, "int8": math.inf}


class _SemanticGraph(ExportGraph):
    task = "semantic"

    def __init__(self, model: SemanticSegmentor, options: ExportOptions) -> None:
        super().__init__(options)
        # What PyTorch says is asked of the model itself; it is no part of the graph.
        self._model = [model]
        self.network = model.network
        # It has no part in predictions, and is no part of the file.
        self.network.aux_head = None
        self.dtype = torch.float32

    @property
    def _bound(self) -> float:
        return _BOUNDS[self.options.precision]

    @property
    def in_channels(self) -> int:
        return len(self.network.pixel_mean)

    @property
    def class_counts(self) -> dict[str, int]:
        return {"stuff": self.network.num_classes}

    @property
    def size_divisibility(self) -> int:
        return self.network.backbone.size_divisibility

    def set_precision(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        # The model itself stays what it is.
        self.network = copy.deepcopy(self.network)
        self.network.backbone.to(dtype)
        self.network.sem_seg_head.to(dtype)

    def reference(self, record: dict[str, Any]) -> dict[str, Any]:
        (model,) = self._model
        with torch.inference_mode():
            (prediction,) = model([record])
        return {"sem_seg": prediction["sem_seg"]}


class BareNetwork(_SemanticGraph):
    """The network alone: normalised images (N, C, H, W) float -> logits (N, K, H, W) float."""

    outputs = ("logits",)
    takes_size = False

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.network(images.to(self.dtype)).float(),)

    def inputs_of(self, record: dict[str, Any]) -> dict[str, Tensor]:
        return {"images": self.network.normalize(record["image"][None])}

    def reference(self, record: dict[str, Any]) -> dict[str, Any]:
        (model,) = self._model
        with torch.inference_mode():
            return {"logits": model.network(self.inputs_of(record)["images"])}

    def compare(
        self, outputs: Mapping[str, Tensor], reference: Mapping[str, Any]
    ) -> list[Difference]:
        expected = reference["logits"]
        error = (outputs["logits"] - expected).abs().amax() / expected.abs().amax()
        return [Difference("logits, as a share of the largest", float(error), self._bound)]


class SemanticGraph(_SemanticGraph):
    """Images and the size wanted in, label maps and confidences out, as `SemSegLogits` has them.

    Inputs:
        images: (N, C, H, W) uint8.
        size: (2,) int64, H' and W'.

    Outputs:
        labels: (N, H', W') uint8, int32 where there are more than 256.
        confidence: (N, H', W') float32, the probability of the label.
        logits: (N, K, H', W') float32; by option.
    """

    takes_size = True

    def __init__(self, model: SemanticSegmentor, options: ExportOptions) -> None:
        super().__init__(model, options)
        self.outputs = ("labels", "confidence", *(["logits"] if options.logits else []))
        self.threshold = model.threshold
        self.by_stride = model.resize_in_two_steps or model.sem_seg_head.align_corners

    def forward(self, images: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        x = network.normalize(images)
        padded = network.padded(x)
        logits, stride = network.sem_seg_head.enlarged(
            network.sem_seg_head(network.backbone(padded.to(self.dtype)))
        )
        logits = logits_at(
            logits.float(), x.shape[2:], padded.shape[2:], size, stride if self.by_stride else None
        )
        labels, confidence = self._decide(logits)
        return labels, confidence, *([logits] if self.options.logits else [])

    def inputs_of(self, record: dict[str, Any]) -> dict[str, Tensor]:
        image = record["image"]
        size = (record.get("height", image.shape[1]), record.get("width", image.shape[2]))
        return {"images": image[None], "size": torch.tensor(size)}

    def compare(
        self, outputs: Mapping[str, Tensor], reference: Mapping[str, Any]
    ) -> list[Difference]:
        prediction: SemSegLogits = reference["sem_seg"]
        logits = prediction.full()
        probabilities = label_logits(logits).softmax(0)
        confidence = prediction.confidence()
        # Of the label that was given here: less than the best one's where it is another.
        labels = outputs["labels"][0].long()
        of_labels = probabilities.gather(0, labels[None])[0]
        differences = [
            Difference("confidence", _largest(outputs["confidence"][0] - confidence), self._bound),
            # A label that is as likely as PyTorch's is no other one.
            Difference("probability of the label", _largest(of_labels - confidence), self._bound),
            Difference("share of other labels", _share(labels != prediction.labels())),
        ]
        if "logits" in outputs:
            error = _largest(outputs["logits"][0] - logits) / max(_largest(logits), 1e-6)
            differences.append(Difference("logits, as a share of the largest", error, self._bound))
        return differences

    def _decide(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and their probabilities, of logits (N, K, H, W)."""
        if logits.shape[1] == 1:
            logit = logits[:, 0]
            labels = logit > math.log(self.threshold / (1 - self.threshold))
            return labels.to(torch.uint8), torch.where(labels, logit, -logit).sigmoid()
        best, labels = logits.max(1)
        # The softmax of the largest alone.
        confidence = 1 / (logits - best[:, None]).exp().sum(1)
        return labels.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32), confidence


def _largest(x: Tensor) -> float:
    return float(x.abs().amax())


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())
