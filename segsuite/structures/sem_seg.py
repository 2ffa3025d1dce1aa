"""Semantic predictions: `SemSegLogits`, only made large where somebody asks for it, and label maps.

Who draws or evaluates them asks what `SemSegPrediction` offers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from segsuite.ops import argmax_from_logits
from segsuite.ops.bilinear import half_pixel_positions, neighbours
from segsuite.ops.confusion_matrix import confusion_matrix, confusion_matrix_from_logits

# Rows of pixels brought to full size at a time where only a map of them is wanted.
_ROWS = 64


def num_labels(num_classes: int) -> int:
    """How many labels a semantic model of so many classes predicts: as many, but two of one class.

    A model of one class, NUM_CLASSES 1, has a sigmoid: label 1 is the class and 0 is background.
    """
    return max(num_classes, 2)


def label_logits(logits: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """One logit for each label, whose softmax are the probabilities of the labels.

    The logit z of one class is that of the softmax over (0, z), whose second probability is the
    sigmoid of z.

    Args:
        logits: with K classes in `dim`.

    Returns:
        The same where K is 2 or more; with two entries in `dim`, 0 and the logit, where it is 1.
    """
    if logits.shape[dim] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim)


class SemSegPrediction(ABC):
    """What a model says about every pixel of an image.

    Attributes:
        size: (H, W), the pixels of the prediction.
        num_labels: how many labels there are to choose from; None where that is not known.
        has_confidence: whether the probabilities of the labels are known.
    """

    size: tuple[int, int]
    has_confidence: bool

    @property
    @abstractmethod
    def num_labels(self) -> int | None: ...

    @property
    @abstractmethod
    def device(self) -> torch.device: ...

    @abstractmethod
    def labels(self) -> torch.Tensor:
        """The label of each pixel: (H, W) of an integer type; beyond the labels where there is
        none."""

    @abstractmethod
    def confidence(self) -> torch.Tensor | None:
        """The probability of `labels` at each pixel, (H, W) float32; None: it is not known."""

    @abstractmethod
    def confident_labels(
        self, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Probability and label where some pixel rows and columns cross.

        Args:
            rows, columns: (R,) and (C,) integer pixel coordinates.

        Returns:
            (R, C) float32 and (R, C) of an integer type.

        Raises:
            ValueError: the probabilities are not known.
        """

    @abstractmethod
    def confusion(
        self, target: torch.Tensor, num_classes: int, *, ignore_index: int
    ) -> torch.Tensor:
        """The confusion matrix with the ground truth (H, W), see `ops.confusion_matrix`."""


@dataclass
class SemSegLabels(SemSegPrediction):
    """A label map, with the probabilities of its labels where they are known.

    Attributes:
        label_map: (H, W) of an integer type.
        probability: (H, W) float32 of each label, or None.
        count: `num_labels`.
    """

    label_map: torch.Tensor
    probability: torch.Tensor | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        height, width = self.label_map.shape
        self.size = height, width
        self.has_confidence = self.probability is not None

    @property
    def num_labels(self) -> int | None:
        return self.count

    @property
    def device(self) -> torch.device:
        return self.label_map.device

    def labels(self) -> torch.Tensor:
        return self.label_map

    def confidence(self) -> torch.Tensor | None:
        return self.probability

    def confident_labels(
        self, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.probability is None:
            raise ValueError("this prediction has labels alone, their probabilities are not known")
        return self.probability[rows][:, columns], self.label_map[rows][:, columns]

    def confusion(
        self, target: torch.Tensor, num_classes: int, *, ignore_index: int
    ) -> torch.Tensor:
        return confusion_matrix(self.label_map, target, num_classes, ignore_index=ignore_index)


@dataclass
class SemSegLogits(SemSegPrediction):
    """Class scores of one image at the resolution of the head.

    The scores of K classes are those of a softmax, and the label of a pixel is the class of the
    largest one. A single score, K = 1, is that of a sigmoid, the probability of label 1; label 0 is
    background. In what follows L labels are K, or 2 where K = 1.

    Output row y lies at ``(y + 0.5) * source_h / H - 0.5`` in rows of `logits`, columns likewise:
    bilinear interpolation with pixel centres at one half, see `segsuite.ops.bilinear`.

    Attributes:
        logits: (K, h, w), of the padded image.
        source_size: (source_h, source_w) <= (h, w), the part of `logits` that the image covers
            without its padding; fractional.
        size: (H, W), the pixels of the prediction.
        threshold: where K = 1, pixels whose probability is above it have label 1; in (0, 1).
    """

    logits: torch.Tensor
    source_size: tuple[float, float]
    size: tuple[int, int]
    threshold: float = 0.5
    has_confidence = True

    @property
    def num_labels(self) -> int:
        """L."""
        return num_labels(len(self.logits))

    @property
    def device(self) -> torch.device:
        return self.logits.device

    def deciding_logits(self) -> torch.Tensor:
        """(L, h, w): as `logits`, and the largest one is that of the label whatever K is."""
        return self._deciding(self.logits)

    def full(self) -> torch.Tensor:
        """The logits at full size: (K, H, W) float32."""
        height, width = (torch.arange(n, device=self.logits.device) for n in self.size)
        return self.grid(height, width)

    def grid(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The logits where some pixel rows and columns of the full size cross.

        Args:
            rows, columns: (R,) and (C,) integer pixel coordinates.

        Returns:
            (K, R, C) float32.
        """
        x = self.logits.float()
        for dim, pixels in ((1, rows), (2, columns)):
            x = _resample(x, dim, pixels, self.source_size[dim - 1] / self.size[dim - 1])
        return x

    def probabilities(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The probability of each label, as `grid`: (L, R, C) float32."""
        return label_logits(self.grid(rows, columns)).softmax(0)

    def labels(self) -> torch.Tensor:
        """The label of each pixel, without the full-size logits in memory.

        Returns:
            (H, W) uint8 where L <= 255 and else int16, in [0, L); L where the logits are NaN.
        """
        return argmax_from_logits(self.deciding_logits()[None], self.size, self.source_size)[0]

    def confident_labels(
        self, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The probability of the label, and the label, as `grid`: (R, C) float32 and int64."""
        return self._decide(self.grid(rows, columns))

    def confidence(self) -> torch.Tensor:
        """The probability of `labels` at each pixel: (H, W) float32, in [1 / K, 1] for a softmax
        and in [min(t, 1 - t), 1] for a sigmoid with the threshold t."""
        return self._pixelwise(lambda logits: self._decide(logits)[0])

    def confusion(
        self, target: torch.Tensor, num_classes: int, *, ignore_index: int
    ) -> torch.Tensor:
        """As `SemSegPrediction`; on the device, without a label map in memory."""
        return confusion_matrix_from_logits(
            self.deciding_logits()[None],
            target[None],
            num_classes,
            ignore_index=ignore_index,
            source_size=self.source_size,
        )

    def entropy(self) -> torch.Tensor:
        """The entropy of the probabilities at each pixel, as a share of its largest value.

        Returns:
            (H, W) float32 in [0, 1]: 0 where one label is certain, 1 where all are equally likely.
        """
        nats = self._pixelwise(
            lambda logits: torch.special.entr(label_logits(logits).softmax(0)).sum(0)
        )
        return nats / math.log(self.num_labels)

    def _deciding(self, logits: torch.Tensor) -> torch.Tensor:
        if len(logits) > 1:
            return logits
        least = math.log(self.threshold / (1 - self.threshold))
        return torch.cat([torch.full_like(logits, least), logits])

    def _decide(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probability and label of logits (K, R, C)."""
        probabilities = label_logits(logits).softmax(0)
        if len(logits) > 1:
            probability, label = probabilities.max(0)
            return probability, label
        labels = self._deciding(logits).argmax(0, keepdim=True)
        return probabilities.gather(0, labels)[0], labels[0]

    def _pixelwise(self, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """`function` of the full-size logits (K, R, W), a few rows at a time: (H, W)."""
        height, width = (torch.arange(n, device=self.logits.device) for n in self.size)
        return torch.cat([function(self.grid(rows, width)) for rows in height.split(_ROWS)])


def as_sem_seg(prediction: SemSegPrediction | torch.Tensor) -> SemSegPrediction:
    """What a model gives as ``sem_seg``.

    Args:
        prediction: `SemSegPrediction`; labels (H, W) of an integer type; or as Detectron2's models
            have it, logits (K, H, W) of a floating point type at the size of the image.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(prediction, SemSegPrediction):
        return prediction
    if prediction.dim() == 3 and prediction.is_floating_point():
        height, width = prediction.shape[1:]
        return SemSegLogits(prediction.float(), (height, width), (height, width))
    if prediction.dim() == 2 and not prediction.is_floating_point():
        return SemSegLabels(prediction)
    raise ValueError(
        f"the prediction is {tuple(prediction.shape)} {prediction.dtype}; expected SemSegLogits, "
        "logits (K, H, W) of a floating point type, or labels (H, W) of an integer type"
    )


def sem_seg_labels(prediction: SemSegPrediction | torch.Tensor) -> torch.Tensor:
    """The label map (H, W) of what `as_sem_seg` takes."""
    return as_sem_seg(prediction).labels()


def _resample(x: torch.Tensor, dim: int, pixels: torch.Tensor, scale: float) -> torch.Tensor:
    """Linear interpolation along `dim` at output `pixels`, each `scale` elements of `x` wide."""
    low, high, weight = neighbours(half_pixel_positions(pixels.double(), scale), x.shape[dim])
    weight = weight.to(x.dtype).view(-1, *[1] * (x.dim() - 1 - dim))
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)
