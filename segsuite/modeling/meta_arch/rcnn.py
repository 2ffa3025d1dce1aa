"""`GeneralizedRCNN` and `ProposalNetwork`: instances from regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError
from segsuite.ops.rois import boxes_to_rois
from segsuite.structures import ImageList, InstanceBatch, Instances, first_places
from segsuite.utils.record_name import record_name

from ..backbone import Backbone, build_backbone
from ..postprocessing import detector_postprocess, postprocess_batch
from ..proposal_generator import RPN, build_proposal_generator
from ..roi_heads import Detections, ROIHeads, build_roi_heads
from .build import META_ARCH_REGISTRY
from .preprocessing import preprocess_images


@META_ARCH_REGISTRY.register()
class ProposalNetwork(nn.Module):
    """Finds where objects are, of whatever class.

    Args:
        backbone: feature extractor.
        proposal_generator: proposes boxes, see `RPN`.
        pixel_mean, pixel_std: per channel, on the scale of the images (0-255).
    """

    # See `SemanticSegmentor`; the rest of the dense part is the proposal generator's.
    graph_methods: tuple[str, ...] = ("features",)

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: nn.Module,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ):
        super().__init__()
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        if cfg.MODEL.LOAD_PROPOSALS:
            raise ConfigError(
                "MODEL.LOAD_PROPOSALS is True, but proposals are made by the model here; set it to "
                "False and MODEL.PROPOSAL_GENERATOR.NAME to 'RPN'"
            )
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "proposal_generator": build_proposal_generator(cfg, backbone.output_shape()),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Losses in training, predictions in evaluation.

        Args:
            batched_inputs: one record an image, with
                ``image``: (C, H, W) uint8 or float, 0-255, channels as in INPUT.FORMAT.
                ``instances``: `Instances` with `gt_boxes`; training only.
                ``height``, ``width``: the size the prediction is wanted in; by default the image's.

        Returns:
            In training, scalar losses by name. In evaluation, ``{"proposals": Instances}`` for
            each record, with `proposal_boxes` and `objectness_logits`, best first.

        Raises:
            DataError: an image has the wrong number of channels, or `instances` are missing.
        """
        images = self.preprocess(batched_inputs)
        features = self.features(images.tensor)
        targets = self.targets(batched_inputs) if self.training else None
        proposals, losses = self.proposal_generator(images, features, targets)
        if self.training:
            return losses
        return [{"proposals": p} for p in postprocess(proposals, batched_inputs)]

    def preprocess(self, batched_inputs: list[dict]) -> ImageList:
        """See `preprocess_images`."""
        return preprocess_images(
            batched_inputs,
            self.pixel_mean,
            self.pixel_std,
            self.backbone.size_divisibility,
            self.backbone.padding_constraints,
        )

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The backbone's features of images (N, C, H, W), normalised and padded."""
        return self.backbone(images)

    def targets(self, batched_inputs: list[dict]) -> list[Instances]:
        """The ground truth of each record, on the model's device."""
        targets = []
        for x in batched_inputs:
            if "instances" not in x:
                raise DataError(
                    f"{record_name(x)}: training needs 'instances', the ground truth; the record "
                    f"has {', '.join(sorted(x))}"
                )
            targets.append(x["instances"].to(self.device, non_blocking=True))
        return targets

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the backbone in place, arguments as for torch.compile; the number of proposals
        and objects, on which the rest depends, changes from batch to batch."""
        self.backbone.compile(*args, **kwargs)


@META_ARCH_REGISTRY.register()
class GeneralizedRCNN(ProposalNetwork):
    """Finds objects, their classes and masks in two stages (Ren et al., "Faster R-CNN", 2015; He
    et al., "Mask R-CNN", 2017).

    Args:
        roi_heads: the second stage, see `ROIHeads`.
        whole_pixel_masks: see `detector_postprocess`.
        others: see `ProposalNetwork`.
    """

    @configurable
    def __init__(self, *, roi_heads: ROIHeads, whole_pixel_masks: bool = False, **others: Any):
        super().__init__(**others)
        self.roi_heads = roi_heads
        self.whole_pixel_masks = whole_pixel_masks
        self.hidden_settings = {"MODEL.ROI_MASK_HEAD.WHOLE_PIXEL_MASKS": whole_pixel_masks}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        if cfg.MODEL.KEYPOINT_ON:
            raise ConfigError("MODEL.KEYPOINT_ON is True, but there are no keypoint heads here")
        arguments = super().from_config(cfg)
        shapes = arguments["backbone"].output_shape()
        return {
            **arguments,
            "roi_heads": build_roi_heads(cfg, shapes),
            "whole_pixel_masks": cfg.MODEL.ROI_MASK_HEAD.WHOLE_PIXEL_MASKS,
        }

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Losses in training, predictions in evaluation.

        Args:
            batched_inputs: records as for `ProposalNetwork`; in training `instances` have
                `gt_boxes`, `gt_classes` (int64) and, for a mask head, `gt_masks`.

        Returns:
            In training, scalar losses by name. In evaluation, ``{"instances": Instances}`` for
            each record, with `pred_boxes`, `scores`, `pred_classes` and, if there is a mask head,
            `pred_masks` (`ROIMasks`), best first, in pixels of the size that the record asks for.

        Raises:
            DataError: an image has the wrong number of channels, or `instances` are missing.
        """
        if not self.training:
            return [{"instances": x} for x in self.inference(batched_inputs)]
        images = self.preprocess(batched_inputs)
        targets = self.targets(batched_inputs)
        features = self.features(images.tensor)
        proposals, losses = self.proposal_generator(images, features, targets)
        _, roi_losses = self.roi_heads(images, features, proposals, targets)
        return {**losses, **roi_losses}

    def detect(
        self, features: dict[str, Tensor], image_sizes: Tensor
    ) -> tuple[Detections, Tensor | None]:
        """What `inference` finds, as tensors whose shapes depend on no value, so that
        `torch.export` can trace it with the backbone before it.

        Args:
            features: of the N images, padded to one size.
            image_sizes: (N, 2) their height and width, without padding.

        Returns:
            The detections, in pixels of the padded images, and their masks (N, D, M, M), the
            probabilities within the boxes; None without a mask head.
        """
        boxes, _, counts = cast(RPN, self.proposal_generator).propose(features, image_sizes)
        valid = first_places(counts, boxes.shape[1])
        found = self.roi_heads.detect(features, boxes, valid, image_sizes)
        if self.roi_heads.mask_head is None:
            return found, None
        rois, classes = boxes_to_rois(found.boxes), found.classes.flatten()
        masks = self.roi_heads.masks(features, rois, classes)
        return found, masks.unflatten(0, found.classes.shape)

    def inference(
        self,
        batched_inputs: list[dict],
        detected_instances: Sequence[Instances] | None = None,
        *,
        do_postprocess: bool = True,
    ) -> list[Instances]:
        """The detections of each record.

        Args:
            detected_instances: for each record `pred_boxes` and `pred_classes` in pixels of its
                ``image``: only the masks are predicted then.
            do_postprocess: bring them to the size that the record asks for. Otherwise they are in
                pixels of ``image`` and `pred_masks` are (N, M, M) probabilities.
        """
        images = self.preprocess(batched_inputs)
        features = self.features(images.tensor)
        if detected_instances is None:
            proposals, _ = self.proposal_generator(images, features)
            instances, _ = self.roi_heads(images, features, proposals)
        else:
            detected = [x.to(self.device) for x in detected_instances]
            instances = self.roi_heads.forward_with_given_boxes(features, detected)
        if not do_postprocess:
            return list(instances)
        return postprocess(instances, batched_inputs, self.whole_pixel_masks)


def postprocess(
    instances: Sequence[Instances], batched_inputs: list[dict], whole_pixel_masks: bool = False
) -> list[Instances]:
    """`detector_postprocess` to the size that each record asks for, by default its image's."""
    if isinstance(instances, InstanceBatch):
        records = zip(instances.image_sizes, batched_inputs, strict=True)
        sizes = [_wanted_size(size, record) for size, record in records]
        return postprocess_batch(instances, sizes, whole_pixel_masks=whole_pixel_masks)
    return [
        detector_postprocess(
            x, *_wanted_size(x.image_size, record), whole_pixel_masks=whole_pixel_masks
        )
        for x, record in zip(instances, batched_inputs, strict=True)
    ]


def _wanted_size(image_size: tuple[int, int], record: dict) -> tuple[int, int]:
    return record.get("height", image_size[0]), record.get("width", image_size[1])
