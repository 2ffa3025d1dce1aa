"""`PanopticFPN`: instances and stuff on one feature pyramid."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError

from ..panoptic_merging import merge_panoptic
from ..sem_seg import SemSegHead, build_sem_seg_head, sem_seg_predictions
from .build import META_ARCH_REGISTRY
from .preprocessing import check_label_maps, pad_label_maps
from .rcnn import GeneralizedRCNN, postprocess


@META_ARCH_REGISTRY.register()
class PanopticFPN(GeneralizedRCNN):
    """Segments things and stuff (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019).

    Mask R-CNN finds the things, a semantic head the stuff; class 0 of the latter is "things".

    Args:
        sem_seg_head: predicts the stuff.
        ignore_value: label that pads `sem_seg`.
        resize_in_two_steps: see `sem_seg_predictions`.
        instance_loss_weight: factor on the losses of `roi_heads`.
        combine: arguments of `merge_panoptic`; None: predictions are not merged.
        others: see `GeneralizedRCNN`.
    """

    graph_methods = (*GeneralizedRCNN.graph_methods, "sem_seg_logits")

    @configurable
    def __init__(
        self,
        *,
        sem_seg_head: SemSegHead,
        ignore_value: int = 255,
        resize_in_two_steps: bool = True,
        instance_loss_weight: float = 1.0,
        combine: dict[str, Any] | None = None,
        **others: Any,
    ):
        super().__init__(**others)
        self.sem_seg_head = sem_seg_head
        self.ignore_value = ignore_value
        self.resize_in_two_steps = resize_in_two_steps
        self.instance_loss_weight = instance_loss_weight
        self.combine = combine

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        arguments = super().from_config(cfg)
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
        if combine.ENABLED and not cfg.MODEL.MASK_ON:
            raise ConfigError(
                "MODEL.PANOPTIC_FPN.COMBINE needs the masks of things; set MODEL.MASK_ON to True, "
                "or MODEL.PANOPTIC_FPN.COMBINE.ENABLED to False"
            )
        if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES < 2:
            raise ConfigError(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}; "
                "PanopticFPN has things as its class 0 and at least one class of stuff. For things "
                "alone set MODEL.META_ARCHITECTURE to GeneralizedRCNN"
            )
        return {
            **arguments,
            "sem_seg_head": build_sem_seg_head(cfg, arguments["backbone"].output_shape()),
            "ignore_value": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "resize_in_two_steps": cfg.MODEL.SEM_SEG_HEAD.RESIZE_IN_TWO_STEPS,
            "instance_loss_weight": cfg.MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT,
            "combine": {
                "overlap_threshold": combine.OVERLAP_THRESH,
                "stuff_area_limit": combine.STUFF_AREA_LIMIT,
                "score_threshold": combine.INSTANCES_CONFIDENCE_THRESH,
            }
            if combine.ENABLED
            else None,
        }

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Losses in training, predictions in evaluation.

        Args:
            batched_inputs: records as for `GeneralizedRCNN`; in training with ``sem_seg`` too,
                (H, W) integers: 0 for things, stuff from 1 on, or the ignored label.

        Returns:
            In training, scalar losses by name. In evaluation, for each record ``instances``, see
            `GeneralizedRCNN`, ``sem_seg`` (`SemSegLogits`) and ``panoptic_seg``, see
            `merge_panoptic`.

        Raises:
            DataError: an image has the wrong number of channels, or `instances` or `sem_seg` are
                missing or wrong.
        """
        images = self.preprocess(batched_inputs)
        features = self.features(images.tensor)
        if self.training:
            losses = self._sem_seg_losses(features, batched_inputs)
            targets = self.targets(batched_inputs)
            proposals, proposal_losses = self.proposal_generator(images, features, targets)
            _, roi_losses = self.roi_heads(images, features, proposals, targets)
            roi_losses = {k: self.instance_loss_weight * v for k, v in roi_losses.items()}
            return {**losses, **proposal_losses, **roi_losses}

        proposals, _ = self.proposal_generator(images, features)
        instances, _ = self.roi_heads(images, features, proposals)
        instances = postprocess(instances, batched_inputs, self.whole_pixel_masks)
        head = self.sem_seg_head
        logits, head_stride = head.enlarged(self.sem_seg_logits(features))
        stride = head_stride if self.resize_in_two_steps or head.align_corners else None
        semantic = sem_seg_predictions(logits, images, [x.image_size for x in instances], stride)
        return [
            self._combine({"sem_seg": s, "instances": i})
            for s, i in zip(semantic, instances, strict=True)
        ]

    def sem_seg_logits(self, features: dict[str, Tensor]) -> Tensor:
        """The semantic head's logits (N, K, h, w)."""
        return self.sem_seg_head(features)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the backbone and the semantic head in place, arguments as for torch.compile."""
        super().compile(*args, **kwargs)
        self.sem_seg_head.compile(*args, **kwargs)

    def _sem_seg_losses(
        self, features: dict[str, Tensor], batched_inputs: list[dict]
    ) -> dict[str, Tensor]:
        ignored = self.ignore_value
        targets = pad_label_maps(
            batched_inputs,
            self.device,
            self.backbone.size_divisibility,
            ignored,
            self.backbone.padding_constraints,
        )
        try:
            return self.sem_seg_head.training_losses(features, targets)
        except (IndexError, RuntimeError):
            check_label_maps(batched_inputs, self.sem_seg_head.num_classes, ignored)
            raise

    def _combine(self, predictions: dict) -> dict:
        if self.combine is not None:
            predictions["panoptic_seg"] = merge_panoptic(
                predictions["instances"],
                predictions["sem_seg"].labels(),
                self.sem_seg_head.num_classes,
                **self.combine,
            )
        return predictions
