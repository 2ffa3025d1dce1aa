"""Speed and memory of the confusion matrix operators beside what is usually done.

    python benchmarks/confusion_matrix.py [--device cuda] [--rows TEXT ...] [--json results.json]

The usual way from logits is F.interpolate, argmax and numpy.bincount, as in Detectron2's evaluator,
and torch.bincount on a GPU; that of label maps one bincount of PyTorch's or numpy's.

"smooth" logits are random fields of the size of objects, whose share of uniform cells (source
pixels where the four neighbouring labels agree) is told; predictions of trained networks have 0.8
to 0.95. "noise" has none, the worst case.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from comparison import Case, Contest, Settings, compared, main
from torch import Tensor

from segsuite.ops import confusion_matrix, confusion_matrix_from_logits

# Classes, images, logits' height and width, output's height and width.
Sizes = tuple[int, int, int, int, int, int]
_ON_CPU: tuple[Sizes, ...] = (
    (19, 1, 128, 256, 1024, 2048),
    (150, 1, 128, 171, 512, 683),
    (21, 1, 65, 65, 513, 513),
)
_ON_GPU: tuple[Sizes, ...] = (
    (19, 1, 128, 256, 1024, 2048),
    (19, 4, 256, 512, 1024, 2048),
    (150, 4, 128, 171, 512, 683),
    (21, 16, 65, 65, 513, 513),
)
_QUICK: tuple[Sizes, ...] = ((5, 2, 9, 12, 33, 47),)
# Of the logits, their memory format, and the targets.
_KINDS_ON_CPU = (
    (torch.float32, "NCHW", torch.uint8),
    (torch.float32, "NCHW", torch.int64),
    (torch.float32, "NHWC", torch.uint8),
)
_KINDS_ON_GPU = (
    (torch.float32, "NCHW", torch.uint8),
    (torch.bfloat16, "NCHW", torch.uint8),
)
IGNORE = 255


def smooth_fields(shape: tuple[int, int, int, int], scale: float, device: str) -> Tensor:
    """Random logits of `shape`, (N, K, height, width), that vary over about `scale` pixels."""
    *images, height, width = shape
    coarse_size = round(height / scale) + 2, round(width / scale) + 2
    coarse = torch.randn(*images, *coarse_size, device=device)
    return 3 * F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)


def smooth_labels(shape: tuple[int, int, int], num_classes: int, device: str) -> Tensor:
    """`shape` (N, height, width) int64, of objects about an eighth of the height large."""
    images, height, width = shape
    one = 1, num_classes, height, width
    return torch.cat([smooth_fields(one, height / 8, device).argmax(1) for _ in range(images)])


def uniform_share(logits: Tensor) -> float:
    """The share of cells whose four corners have the same label."""
    labels = logits.argmax(1)
    a, b = labels[:, :-1, :-1], labels[:, :-1, 1:]
    c, d = labels[:, 1:, :-1], labels[:, 1:, 1:]
    return ((a == b) & (a == c) & (a == d)).float().mean().item()


def with_numpy(pred: np.ndarray, target: np.ndarray, num_classes: int) -> Tensor:
    """As in Detectron2's evaluator."""
    k = num_classes
    entry = (k + 1) * np.where(target == IGNORE, k, target).astype(np.int64) + pred
    counts = np.bincount(entry.reshape(-1), minlength=(k + 1) ** 2)
    return torch.from_numpy(counts.reshape(k + 1, k + 1)[:k, :k])


def with_torch(pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """As in torchvision's reference scripts."""
    counted = target != IGNORE
    entry = num_classes * target[counted].long() + pred[counted]
    return torch.bincount(entry, minlength=num_classes**2)


def usual_from_logits(logits: Tensor, target: Tensor, num_classes: int) -> Tensor:
    full = F.interpolate(logits, size=target.shape[1:], mode="bilinear", align_corners=False)
    labels = full.argmax(1)
    if labels.device.type == "cuda":
        return with_torch(labels, target, num_classes)
    return with_numpy(labels.numpy(), target.numpy(), num_classes)


def size_in_bytes(*tensors: Tensor) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def differing(usual: Tensor, ours: Tensor) -> int:
    """Pixels that are counted elsewhere."""
    counts = usual.reshape(len(ours) - 1, -1)
    return int((counts - ours[:-1, :-1]).abs().sum()) // 2


def from_logits(kind: str, sizes: Sizes, types: tuple[Any, ...], device: str) -> Contest:
    k, images, h, w, height, width = sizes
    dtype, layout, target_dtype = types
    target = smooth_labels((images, height, width), k, device)
    target[torch.rand(target.shape, device=device) < 0.02] = IGNORE
    target = target.to(target_dtype)
    shape = images, k, h, w
    if kind == "smooth":
        logits = smooth_fields(shape, 16, device).to(dtype)
    else:
        logits = torch.randn(shape, device=device, dtype=dtype)
    share = uniform_share(logits)
    same = logits
    if layout == "NHWC":
        logits = logits.contiguous(memory_format=torch.channels_last)
    usual = partial(usual_from_logits, same, target, k)
    ours = partial(confusion_matrix_from_logits, logits, target, k)
    remarks = f"uniform cells {share:.2f}, {differing(usual(), ours())} pixels differ"
    return Contest(usual, ours, size_in_bytes(logits, target), remarks)


def label_maps(
    kind: str, shape: tuple[int, int, int], k: int, dtype: torch.dtype, usual: str, device: str
) -> Contest:
    if kind == "smooth":
        pred, target = (smooth_labels(shape, k, device).to(dtype) for _ in range(2))
    else:
        pred, target = (torch.randint(0, k, shape, device=device).to(dtype) for _ in range(2))
    ways = {
        "numpy": lambda: with_numpy(pred.numpy(), target.numpy(), k),
        # Without labels to leave out: what is quickest.
        "torch": lambda: torch.bincount(
            k * target.flatten().long() + pred.flatten(), minlength=k * k
        ),
    }
    ours = partial(confusion_matrix, pred, target, k)
    remarks = f"{differing(ways[usual](), ours())} pixels differ"
    return Contest(ways[usual], ours, size_in_bytes(pred, target), remarks)


def cases(settings: Settings) -> Iterator[Case]:
    device, on_gpu = settings.device, settings.device == "cuda"
    all_sizes = _QUICK if settings.quick else _ON_GPU if on_gpu else _ON_CPU
    for sizes in all_sizes:
        k, images, h, w, height, width = sizes
        shapes = f"{k} classes, {images}x{h}x{w} -> {height}x{width}"
        for kind in ("smooth", "noise"):
            for types in _KINDS_ON_GPU if on_gpu else _KINDS_ON_CPU:
                dtype, layout, target = (str(x).removeprefix("torch.") for x in types)
                what = f"{kind}, {dtype}{', NHWC' if layout == 'NHWC' else ''}, {target} targets"
                make = partial(from_logits, kind, sizes, types, device)
                yield compared(f"confusion_matrix_from_logits, {shapes}, {what}", make, queued=True)
    shape = (2, 33, 47) if settings.quick else (4 if on_gpu else 1, 1024, 2048)
    for k in (19, 150):
        for kind in ("smooth", "noise"):
            for dtype in (torch.uint8, torch.int64):
                for usual in ("torch",) if on_gpu else ("torch", "numpy"):
                    what = f"{k} classes, {'x'.join(map(str, shape))}, {kind}, {str(dtype)[6:]}"
                    name = f"confusion_matrix, {what}{'' if on_gpu else f', usual: {usual}'}"
                    make = partial(label_maps, kind, shape, k, dtype, usual, device)
                    yield compared(name, make, queued=True)


if __name__ == "__main__":
    main(__doc__, cases)
