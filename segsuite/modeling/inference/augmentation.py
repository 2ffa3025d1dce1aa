"""`SemSegAugmentation`: the mean of predictions at several scales, and of the mirrored image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segsuite.errors import ConfigError
from segsuite.structures import SemSegLogits

# Rows of pixels whose probabilities are computed at a time.
_ROWS = 64


class SemSegAugmentation(nn.Module):
    """Averages class probabilities over scaled and mirrored versions of an image.

    Takes and returns records as the model in evaluation does. The logits returned are the
    logarithms of the mean probabilities, of one class their log-odds, at full size: (K, H, W)
    float32 of memory, while they are summed up two maps for one class. Each version is
    interpolated once, from the model's logits to the pixels; mirroring is exact at any size.

    Args:
        model: takes ``[{"image": (C, H, W), "height": H, "width": W}]`` and returns
            ``[{"sem_seg": SemSegLogits}]``, such as a SemanticSegmentor or a SlidingWindow.
        min_sizes: lengths of the shorter edge in pixels, of one version each; 0: as it is.
        max_size: the longer edge is at most this, at the same aspect ratio.
        flip: add a mirrored version of each.

    Raises:
        ConfigError: there is no size, or a negative one.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        min_sizes: Sequence[int] = (0,),
        max_size: int = 4000,
        flip: bool = True,
    ):
        super().__init__()
        if not min_sizes or min(min_sizes) < 0 or max_size <= 0:
            raise ConfigError(
                f"TEST.AUG.MIN_SIZES is {list(min_sizes)} and MAX_SIZE {max_size}; expected one "
                "length of the shorter edge or more in pixels, 0 for the image's own, and a limit"
            )
        self.model = model
        self.min_sizes = list(min_sizes)
        self.max_size = max_size
        self.flip = flip

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, SemSegLogits]]:
        return [{"sem_seg": self._predict(record)} for record in batched_inputs]

    def _predict(self, record: dict[str, Any]) -> SemSegLogits:
        height, width = record["image"].shape[-2:]
        size = record.get("height", height), record.get("width", width)
        total, first = torch.empty(0), None
        for min_size in self.min_sizes:
            image = self._resized(record["image"], min_size)
            for flipped in (False, True) if self.flip else (False,):
                version = {
                    **{k: record[k] for k in ("file_name",) if k in record},
                    "image": image.flip(-1) if flipped else image,
                    "height": size[0],
                    "width": size[1],
                }
                prediction = self.model([version])[0]["sem_seg"]
                if first is None:
                    first, shape = prediction, (prediction.num_labels, *size)
                    total = prediction.logits.new_zeros(shape, dtype=torch.float32)
                _add_probabilities(prediction, flipped, total)
        assert first is not None  # min_sizes is not empty
        count = len(self.min_sizes) * (2 if self.flip else 1)
        logits = total.div_(count).log_()
        if len(first.logits) == 1:
            logits = logits[1:] - logits[:1]
        return SemSegLogits(logits, size, size, first.threshold)

    def _resized(self, image: torch.Tensor, min_size: int) -> torch.Tensor:
        height, width = image.shape[-2:]
        scale = min_size / min(height, width) if min_size else 1.0
        scale = min(scale, self.max_size / max(height, width))
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        if size == (height, width):
            return image
        return F.interpolate(
            image[None].float(), size, mode="bilinear", align_corners=False, antialias=True
        )[0]


def _add_probabilities(prediction: SemSegLogits, flipped: bool, total: torch.Tensor) -> None:
    """Add the probabilities of the labels at every pixel to `total` (L, H, W)."""
    height, width = prediction.size
    columns = torch.arange(width, device=total.device)
    if flipped:
        columns = columns.flip(0)
    for first in range(0, height, _ROWS):
        rows = torch.arange(first, min(first + _ROWS, height), device=total.device)
        total[:, first : first + len(rows)] += prediction.probabilities(rows, columns)
