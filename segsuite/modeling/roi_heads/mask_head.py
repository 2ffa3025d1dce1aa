"""From the pooled features of an instance to its mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.config import CfgNode, configurable
from segsuite.layers import Conv2d
from segsuite.utils.registry import Registry

# Callables (cfg, in_channels) -> nn.Module, see `MaskRCNNConvUpsampleHead`.
ROI_MASK_HEAD_REGISTRY = Registry("ROI_MASK_HEAD")


class MaskHead(Protocol):
    """What the second stages ask of a mask head, see `MaskRCNNConvUpsampleHead`."""

    def __call__(self, x: Tensor, classes: Tensor, /) -> Tensor: ...

    def losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]: ...


def build_mask_head(cfg: CfgNode, in_channels: int) -> nn.Module:
    """Build ``MODEL.ROI_MASK_HEAD.NAME`` for features of `in_channels` channels.

    Raises:
        UnknownNameError: no head has that name.
    """
    return ROI_MASK_HEAD_REGISTRY.get(cfg.MODEL.ROI_MASK_HEAD.NAME)(cfg, in_channels)


@ROI_MASK_HEAD_REGISTRY.register()
class MaskRCNNConvUpsampleHead(nn.Module):
    """3x3 convolutions, a transposed one that doubles the size, and a 1x1 with one mask for each
    class (He et al., "Mask R-CNN", figure 4). Parameters are named as in Detectron2.

    Args:
        in_channels: of the pooled features.
        num_classes: of instances.
        conv_dims: widths of the 3x3 convolutions.
        upsample_dim: width of the transposed convolution.
        conv_norm: of the 3x3 convolutions, see `get_norm`.
        cls_agnostic: one mask for all classes.

    Attributes:
        class_layers: layers with rows for each class, see `SemSegHead`.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        conv_dims: Sequence[int] = (256, 256, 256, 256),
        upsample_dim: int = 256,
        conv_norm: str = "",
        cls_agnostic: bool = False,
    ):
        super().__init__()
        self.cls_agnostic = cls_agnostic
        self.convs: list[nn.Module] = []
        channels = in_channels
        for i, dim in enumerate(conv_dims, 1):
            conv = Conv2d(channels, dim, 3, norm=conv_norm, activation=F.relu_)
            self.add_module(f"mask_fcn{i}", conv)
            self.convs.append(conv)
            channels = dim
        self.deconv = nn.ConvTranspose2d(channels, upsample_dim, 2, stride=2)
        self.predictor = nn.Conv2d(upsample_dim, 1 if cls_agnostic else num_classes, 1)
        self.class_layers = [] if cls_agnostic else ["predictor"]
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predictor.weight, std=0.001)
        for layer in (self.deconv, self.predictor):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> dict:
        c = cfg.MODEL.ROI_MASK_HEAD
        return {
            "in_channels": in_channels,
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "conv_dims": [c.CONV_DIM] * c.NUM_CONV,
            "upsample_dim": c.CONV_DIM,
            "conv_norm": c.NORM,
            "cls_agnostic": c.CLS_AGNOSTIC_MASK,
        }

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """The mask of each instance for its class; those of other classes are not computed.

        Args:
            x: (R, in_channels, S, S).
            classes: (R,) int64.

        Returns:
            (R, 2 * S, 2 * S) logits, float32 under autocast.
        """
        for conv in self.convs:
            x = conv(x)
        x = F.relu_(self.deconv(x))
        if self.cls_agnostic:
            classes = torch.zeros_like(classes)
        weight, bias = self.predictor.weight.flatten(1)[classes].to(x.dtype), self.predictor.bias
        assert bias is not None
        # As (R, S * S, C) @ (R, C, 1): a view where the memory is channels last.
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        logits = torch.bmm(pixels, weight[:, :, None])[:, :, 0].float()
        logits = logits + bias[classes].float()[:, None]
        return logits.unflatten(1, x.shape[2:])

    def losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Binary cross entropy of every pixel of the masks.

        Args:
            logits: (R, M, M), of the foreground proposals.
            targets: (R, M, M) bool, what of the objects lies in their boxes.

        Returns:
            The scalar "loss_mask"; 0, with a gradient, for no proposals.
        """
        if len(logits) == 0:
            return {"loss_mask": logits.sum()}
        return {"loss_mask": F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))}
