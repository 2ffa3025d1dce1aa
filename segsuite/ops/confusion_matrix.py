"""Confusion matrices of label maps, and straight from low-resolution logits.

A label map's pixel is one of the classes 0 .. K - 1, the target's `ignore_index`, or "outside":
any other value. Matrices are (K + 1, K + 1) int64, ``[target, prediction]``, with the outside in
the last row and column, so that nothing that is not ignored is lost: the sum of the matrix is the
number of pixels whose target is not `ignore_index`. A prediction has no ignored value; one that
equals `ignore_index` without being a class is outside.

All counts are exact, whatever the device and the number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segsuite.ops._library import EXTENSION_LOADED, has_kernels
from segsuite.ops.bilinear import half_pixel_positions, neighbours

_INTEGERS = (
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
MAX_CLASSES = 32767  # the label maps of argmax_from_logits are int16 at most


def confusion_matrix(
    pred: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int = 255,
    out: Tensor | None = None,
) -> Tensor:
    """Count the pixels of each pair of target and predicted class.

    Args:
        pred: (...) labels of any integer type.
        target: labels of the same shape, of any, perhaps another, integer type.
        num_classes: K, from 1 to 32767.
        ignore_index: pixels with this target are not counted, even if it is one of the classes.
        out: (K + 1, K + 1) int64, contiguous; the counts are added to it.

    Returns:
        (K + 1, K + 1) int64 ``[target, prediction]``: `out` if given. The last row counts targets
        outside the classes that are not `ignore_index`, the last column predictions outside.

    Raises:
        ValueError: shapes, types or devices do not fit.
    """
    _check_labels("pred", pred)
    _check_labels("target", target)
    if pred.shape != target.shape:
        raise ValueError(
            f"pred is {tuple(pred.shape)} and target {tuple(target.shape)}; "
            "they must have the same shape"
        )
    _check_classes(num_classes)
    _check_device("pred", pred, target)
    out = _result(out, (num_classes + 1, num_classes + 1), target)
    if has_kernels(target.device):
        torch.ops.segsuite.confusion_matrix(pred, target, num_classes, ignore_index, out)
    else:
        _reference_counts(pred, target, num_classes, ignore_index, out)
    return out


def confusion_matrix_from_logits(
    logits: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int = 255,
    source_size: tuple[float, float] | None = None,
    out: Tensor | None = None,
    per_image: bool = False,
) -> Tensor:
    """`confusion_matrix` of the labels of bilinearly upsampled logits, which are never made.

    The labels are those of `argmax_from_logits` with the size of the target: a pixel with a NaN
    among the logits around it counts as predicted outside the classes (last column).

    Args:
        logits: (N, K, h, w) float32, bfloat16 or float16, of any strides.
        target: (N, H, W) labels of any integer type.
        num_classes: K.
        ignore_index: pixels with this target are not counted, even if it is one of the classes.
        source_size: (source_h, source_w), see `argmax_from_logits`.
        out: (K + 1, K + 1) int64, contiguous, or (N, K + 1, K + 1) with `per_image`; the counts are
            added to it.
        per_image: one matrix for each image instead of one for all.

    Returns:
        (K + 1, K + 1) or (N, K + 1, K + 1) int64 ``[target, prediction]``: `out` if given.

    Raises:
        ValueError: shapes, types or devices do not fit.
    """
    _check_logits(logits)
    _check_labels("target", target)
    if target.dim() != 3 or target.shape[0] != logits.shape[0]:
        raise ValueError(
            f"target is {tuple(target.shape)}; logits {tuple(logits.shape)} need a target "
            f"({logits.shape[0]}, H, W)"
        )
    if logits.shape[1] != num_classes:
        raise ValueError(
            f"logits {tuple(logits.shape)} have {logits.shape[1]} classes, "
            f"but num_classes is {num_classes}"
        )
    _check_device("logits", logits, target)
    source_height, source_width = _check_source_size(source_size, logits)
    images = (target.shape[0],) if per_image else ()
    out = _result(out, (*images, num_classes + 1, num_classes + 1), target)
    if has_kernels(target.device):
        torch.ops.segsuite.confusion_matrix_from_logits(
            logits.detach(), target, ignore_index, source_height, source_width, out
        )
    else:
        size = (target.shape[1], target.shape[2])
        for n in range(target.shape[0]):  # one by one, to spare memory
            pred = _reference_labels(logits[n : n + 1], size, source_size)[0]
            counts = out[n] if per_image else out
            _reference_counts(pred, target[n], num_classes, ignore_index, counts)
    return out


def argmax_from_logits(
    logits: Tensor, size: tuple[int, int], source_size: tuple[float, float] | None = None
) -> Tensor:
    """The class of the largest bilinearly upsampled logit of each pixel; the lowest of equals.

    Output row y lies at ``(y + 0.5) * source_h / H - 0.5`` in rows of the logits, clamped to
    [0, h - 1], and columns likewise: ``F.interpolate(mode="bilinear", align_corners=False)`` where
    `source_size` is (h, w). A smaller `source_size` leaves out padding at the bottom and right.

    Args:
        logits: (N, K, h, w) float32, bfloat16 or float16, of any strides; K from 1 to 32767.
            -inf is never the largest; other infinities give some class.
        size: (H, W) of the labels.
        source_size: (source_h, source_w), over 0 up to (h, w), perhaps fractional; (h, w) if None.

    Returns:
        (N, H, W) labels, uint8 where K <= 255 and else int16: classes 0 .. K - 1, and K where one
        of the four source pixels around has a NaN for any class.

    Raises:
        ValueError: shapes, types or sizes do not fit.
    """
    _check_logits(logits)
    height, width = size
    if height < 0 or width < 0:
        raise ValueError(f"size is {tuple(size)}; expected (H, W), neither negative")
    source_height, source_width = _check_source_size(source_size, logits)
    if has_kernels(logits.device):
        return torch.ops.segsuite.argmax_from_logits(
            logits.detach(), height, width, source_height, source_width
        )
    return _reference_labels(logits, size, source_size)


# Checks


def _check_labels(name: str, labels: Tensor) -> None:
    if labels.dtype not in _INTEGERS:
        raise ValueError(
            f"{name} is {labels.dtype}; expected labels of an integer type (`.argmax(1)` of scores)"
        )


def _check_logits(logits: Tensor) -> None:
    if logits.dim() != 4 or 0 in logits.shape[1:]:
        raise ValueError(
            f"logits are {tuple(logits.shape)}; expected (N, K, h, w) with K, h, w > 0"
        )
    if logits.dtype not in _FLOATS:
        raise ValueError(f"logits are {logits.dtype}; expected float32, bfloat16 or float16")
    _check_classes(logits.shape[1])


def _check_classes(num_classes: int) -> None:
    if not 1 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes is {num_classes}; expected 1 to {MAX_CLASSES}")


def _check_device(name: str, tensor: Tensor, target: Tensor) -> None:
    if tensor.device != target.device:
        raise ValueError(
            f"{name} is on {tensor.device} and target on {target.device}; "
            "they must be on the same device"
        )


def _check_source_size(
    source_size: tuple[float, float] | None, logits: Tensor
) -> tuple[float | None, float | None]:
    if source_size is None:
        return None, None
    height, width = source_size
    if not (0 < height <= logits.shape[2] and 0 < width <= logits.shape[3]):
        raise ValueError(
            f"source_size is ({height}, {width}); expected a part of the logits' "
            f"{logits.shape[2]} x {logits.shape[3]} (height x width), greater than zero"
        )
    return float(height), float(width)


def _result(out: Tensor | None, shape: tuple[int, ...], target: Tensor) -> Tensor:
    if out is None:
        return torch.zeros(shape, dtype=torch.int64, device=target.device)
    if out.shape != shape or out.dtype != torch.int64 or out.device != target.device:
        raise ValueError(
            f"out is {tuple(out.shape)} {out.dtype} on {out.device}; "
            f"expected {shape} torch.int64 on {target.device}"
        )
    if not out.is_contiguous():
        raise ValueError(f"out has strides {out.stride()}; expected a contiguous tensor")
    return out


# The PyTorch reference


def _reference_counts(
    pred: Tensor, target: Tensor, num_classes: int, ignore_index: int, out: Tensor
) -> None:
    pred, target = pred.reshape(-1).long(), target.reshape(-1).long()
    counted = target != ignore_index
    pred = pred.where((pred >= 0) & (pred < num_classes), num_classes)
    target = target.where((target >= 0) & (target < num_classes), num_classes)
    entry = (target * (num_classes + 1) + pred)[counted]
    out.add_(torch.bincount(entry, minlength=out.numel()).view(out.shape))


def _reference_labels(
    logits: Tensor, size: tuple[int, int], source_size: tuple[float, float] | None
) -> Tensor:
    x = logits.detach().float()
    num_classes = x.shape[1]
    nan = x.isnan().any(1)
    for dim in (-2, -1):
        used = x.shape[dim] if source_size is None else source_size[dim]
        low, high, weight = _corners(x.shape[dim], used, size[dim], x.device)
        weight = weight.view(-1, *[1] * (-1 - dim))
        x = torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)
        nan = nan.index_select(dim, low) | nan.index_select(dim, high)
    x = x.masked_fill(x.isnan(), -torch.inf)  # of infinite logits
    labels = x.argmax(1).masked_fill(nan, num_classes)
    return labels.to(torch.uint8 if num_classes <= 255 else torch.int16)


def _corners(
    source: int, used: float, size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The source coordinates below and above each output coordinate, and the upper one's weight."""
    pixels = torch.arange(size, dtype=torch.float64)
    position = half_pixel_positions(pixels, used / max(size, 1))
    low, high, weight = neighbours(position, source)
    return low.to(device), high.to(device), weight.float().to(device)


# What torch.compile and torch.export know of the kernels

if EXTENSION_LOADED:

    @torch.library.register_fake("segsuite::confusion_matrix")
    def _(pred: Tensor, target: Tensor, num_classes: int, ignore_index: int, out: Tensor) -> None:
        return None

    @torch.library.register_fake("segsuite::confusion_matrix_from_logits")
    def _(
        logits: Tensor,
        target: Tensor,
        ignore_index: int,
        source_height: float,
        source_width: float,
        out: Tensor,
    ) -> None:
        return None

    @torch.library.register_fake("segsuite::argmax_from_logits")
    def _(
        logits: Tensor, height: int, width: int, source_height: float, source_width: float
    ) -> Tensor:
        dtype = torch.uint8 if logits.shape[1] <= 255 else torch.int16
        return logits.new_empty((logits.shape[0], height, width), dtype=dtype)
