"""`SemSegNetwork`: backbone and head as one plain module, from images to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.errors import ConfigError
from segsuite.structures import padded_size

from ..backbone import Backbone
from ..sem_seg import SemSegHead


class SemSegNetwork(nn.Module):
    """A semantic network as any other of PyTorch: a tensor of images in, a tensor of logits out.

    `SemanticSegmentor` is a shell around it, which takes records; its `network` shares all
    parameters, under the same names. For a training loop of one's own::

        net = segsuite.create_model("unet", num_classes=3)
        logits = net(net.normalize(images))
        loss = F.cross_entropy(logits, labels, ignore_index=255)

    Args:
        backbone: feature extractor.
        sem_seg_head: predicts the classes.
        aux_head: an additional head, which learns beside the first one and is not asked otherwise.
        pixel_mean, pixel_std: per channel, on the scale of the images (0-255), for `normalize`.
        ignore_value: label that takes no part in `losses`.
        resize_in_two_steps: how logits are brought to the size of the images: multiplied by the
            head's stride, or straight to the size of the padded images. See `SemanticSegmentor`.

    Attributes:
        num_classes: K, of the logits; 1 for a sigmoid (see `SemSegHead`).
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: SemSegHead,
        aux_head: SemSegHead | None = None,
        pixel_mean: Sequence[float] | Tensor,
        pixel_std: Sequence[float] | Tensor,
        ignore_value: int = 255,
        resize_in_two_steps: bool = False,
    ):
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.aux_head = aux_head
        self.ignore_value = ignore_value
        self.resize_in_two_steps = resize_in_two_steps
        self.register_buffer("pixel_mean", torch.as_tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.as_tensor(pixel_std).view(-1, 1, 1), False)

    @property
    def num_classes(self) -> int:
        return self.sem_seg_head.num_classes

    @overload
    def forward(
        self, x: Tensor, *, full_size: bool = True, return_aux: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, *, full_size: bool = True, return_aux: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, x: Tensor, *, full_size: bool = True, return_aux: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The logits of each class at each pixel.

        Args:
            x: (N, C, H, W) float, normalised as by `normalize`; any H and W, which are padded
                inside to what the backbone takes.
            full_size: False: logits as the head makes them, of ceil(H' / stride) x
                ceil(W' / stride) pixels for the padded images of H' x W'.
            return_aux: return the logits of the auxiliary head, too.

        Returns:
            (N, K, H, W), of the dtype that the head computes in; with `return_aux` a pair of these.

        Raises:
            ConfigError: `return_aux`, but there is no auxiliary head.
        """
        features = self.backbone(self.padded(x))
        logits = self.sem_seg_head(features)
        if full_size:
            logits = self._at_full_size(logits, self.sem_seg_head, x)
        if not return_aux:
            return logits
        if self.aux_head is None:
            raise ConfigError(
                "return_aux: the network has no auxiliary head; build it with "
                "MODEL.AUX_HEAD.ENABLED True and MODEL.AUX_HEAD.IN_FEATURES"
            )
        aux = self.aux_head(features)
        return logits, self._at_full_size(aux, self.aux_head, x) if full_size else aux

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """What a training by configuration learns from: the losses of the head, in some heads of
        further predictions, and those of the auxiliary head, their names ending in "_aux".

        Args:
            x: (N, C, H, W), normalised.
            targets: (N, H, W) int64 in [0, K), or `ignore_value`; 0 or 1 where K = 1.

        Returns:
            Scalars by name, weighted: their sum is what is minimised.
        """
        x = self.padded(x)
        (height, width), (h, w) = x.shape[-2:], targets.shape[-2:]
        targets = F.pad(targets, (0, width - w, 0, height - h), value=self.ignore_value)
        return head_losses(self.sem_seg_head, self.aux_head, self.backbone(x), targets)

    def normalize(self, images: Tensor) -> Tensor:
        """Images as the network takes them.

        Args:
            images: (N, C, H, W) or (C, H, W), uint8 or float on the scale 0-255.
        """
        images = images.to(self.pixel_mean.device)
        return (images - self.pixel_mean) / self.pixel_std

    def padded(self, x: Tensor) -> Tensor:
        """`x` with zeros at the right and the bottom, as large as the backbone wants it."""
        height, width = x.shape[-2:]
        to_height, to_width = self._padded_size(x)
        # Without asking whether there is anything to pad: an export is then good for all sizes.
        return F.pad(x, (0, to_width - width, 0, to_height - height))

    def _padded_size(self, x: Tensor) -> tuple[int, int]:
        height, width = x.shape[-2:]
        constraints = self.backbone.padding_constraints
        return padded_size(height, width, self.backbone.size_divisibility, constraints)

    def _at_full_size(self, logits: Tensor, head: SemSegHead, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        logits, stride = head.enlarged(logits)
        if self.resize_in_two_steps or head.align_corners:
            size = (logits.shape[-2] * stride, logits.shape[-1] * stride)
        else:
            size = self._padded_size(x)
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits[..., :height, :width]


def head_losses(
    head: SemSegHead, aux_head: SemSegHead | None, features: dict[str, Tensor], targets: Tensor
) -> dict[str, Tensor]:
    """The losses of a head and, with "_aux" behind their names, of an auxiliary one.

    Args:
        features: of padded images.
        targets: (N, H, W) int64, padded likewise.
    """
    losses = head.training_losses(features, targets)
    if aux_head is not None:
        aux_losses = aux_head.training_losses(features, targets)
        losses.update({f"{name}_aux": loss for name, loss in aux_losses.items()})
    return losses
