"""`SemanticSegmentor`: backbone and head for semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError
from segsuite.structures import ImageList, SemSegLogits

from ..backbone import Backbone, build_backbone
from ..sem_seg import SemSegHead, build_aux_head, build_sem_seg_head, sem_seg_predictions
from .build import META_ARCH_REGISTRY
from .network import SemSegNetwork, head_losses
from .preprocessing import check_label_maps, pad_label_maps, preprocess_images


@META_ARCH_REGISTRY.register()
class SemanticSegmentor(nn.Module):
    """Labels every pixel of an image with a class: a shell that takes records around a plain
    network, `network`, which takes tensors.

    Args:
        backbone: feature extractor.
        sem_seg_head: predicts the classes.
        aux_head: an additional head whose losses are added in training, their names ending in
            "_aux"; it does not run in evaluation.
        pixel_mean, pixel_std: per channel, on the scale of the images (0-255).
        ignore_value: label that pads `sem_seg`.
        resize_in_two_steps: how logits get to the size asked for, see `sem_seg_predictions`: by the
            head's stride to the image's size and from there, as in Detectron2, or straight.
        threshold: of a model of one class: pixels whose probability is above it are predicted as
            the class; in (0, 1).

    Raises:
        ConfigError: the threshold is out of range, or there are several classes to choose from.
    """

    # What a CUDA graph can replay: shapes follow from those of the arguments, and nothing waits.
    graph_methods = ("logits",)

    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: SemSegHead,
        aux_head: SemSegHead | None = None,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        ignore_value: int = 255,
        resize_in_two_steps: bool = False,
        threshold: float = 0.5,
    ):
        super().__init__()
        _check_threshold(threshold, sem_seg_head.num_classes)
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.aux_head = aux_head
        self.ignore_value = ignore_value
        self.resize_in_two_steps = resize_in_two_steps
        self.threshold = threshold
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        return {
            "backbone": backbone,
            "sem_seg_head": build_sem_seg_head(cfg, shapes),
            "aux_head": build_aux_head(cfg, shapes) if cfg.MODEL.AUX_HEAD.ENABLED else None,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "ignore_value": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "resize_in_two_steps": cfg.MODEL.SEM_SEG_HEAD.RESIZE_IN_TWO_STEPS,
            "threshold": cfg.MODEL.SEM_SEG_HEAD.THRESHOLD,
        }

    @property
    def network(self) -> SemSegNetwork:
        """The plain network, made of the same modules: what one learns the other knows, and the
        names of the parameters are the same."""
        network = SemSegNetwork(
            backbone=self.backbone,
            sem_seg_head=self.sem_seg_head,
            aux_head=self.aux_head,
            pixel_mean=self.pixel_mean,
            pixel_std=self.pixel_std,
            ignore_value=self.ignore_value,
            resize_in_two_steps=self.resize_in_two_steps,
        )
        network.training = self.training
        return network

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor] | list[dict]:
        """Losses in training, predictions in evaluation.

        Args:
            batched_inputs: one record an image, with
                ``image``: (C, H, W) uint8 or float, 0-255, channels as in INPUT.FORMAT.
                ``sem_seg``: (H, W) integers in [0, K) or the ignored label, of one class 0 for
                background and 1; training only.
                ``height``, ``width``: the size the prediction is wanted in; by default the image's.

        Returns:
            In training, scalar losses by name. In evaluation, ``{"sem_seg": SemSegLogits}`` for
            each record.

        Raises:
            DataError: an image has the wrong number of channels, or its `sem_seg` is missing, of
                another size, or holds a label out of range (see `check_labels`).
        """
        divisibility = self.backbone.size_divisibility
        constraints = self.backbone.padding_constraints
        images = preprocess_images(
            batched_inputs, self.pixel_mean, self.pixel_std, divisibility, constraints
        )
        if not self.training:
            return self._predictions(batched_inputs, images, self.logits(images.tensor))
        features = self.backbone(images.tensor)
        targets = pad_label_maps(
            batched_inputs, self.device, divisibility, self.ignore_value, constraints
        )
        try:
            return head_losses(self.sem_seg_head, self.aux_head, features, targets)
        except (IndexError, RuntimeError):
            self.check_labels(batched_inputs)
            raise

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """The head's logits (N, K, h, w) of images (N, C, H, W), normalised and padded."""
        return self.sem_seg_head(self.backbone(images))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the networks in place, arguments as for torch.compile, but not what handles the
        records, whose sizes change from batch to batch."""
        for network in (self.backbone, self.sem_seg_head, self.aux_head):
            if network is not None:
                network.compile(*args, **kwargs)

    def check_labels(self, batched_inputs: list[dict]) -> None:
        """See `check_label_maps`."""
        check_label_maps(batched_inputs, self.sem_seg_head.num_classes, self.ignore_value)

    def _predictions(
        self, batched_inputs: list[dict], images: ImageList, logits: torch.Tensor
    ) -> list[dict[str, SemSegLogits]]:
        sizes = [
            (x.get("height", height), x.get("width", width))
            for x, (height, width) in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        head = self.sem_seg_head
        logits, stride = head.enlarged(logits)
        by_stride = self.resize_in_two_steps or head.align_corners
        predictions = sem_seg_predictions(
            logits, images, sizes, stride if by_stride else None, self.threshold
        )
        return [{"sem_seg": prediction} for prediction in predictions]


def _check_threshold(threshold: float, num_classes: int) -> None:
    if not 0 < threshold < 1:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.THRESHOLD is {threshold}; expected a probability between 0 and 1"
        )
    if threshold != 0.5 and num_classes != 1:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.THRESHOLD is {threshold}, but of {num_classes} classes the most "
            "likely one is predicted; leave it at 0.5, or set NUM_CLASSES to 1"
        )
