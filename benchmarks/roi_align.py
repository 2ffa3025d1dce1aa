"""Speed of RoIAlign beside torchvision's.

    python benchmarks/roi_align.py [--device cuda] [--rows TEXT ...] [--json results.json]

RoIs are random boxes of an 800 x 1216 image with sizes spread evenly in their logarithm and sides
in ratios from 1:2 to 2:1. Those of 16 to 112 pixels are what a feature pyramid sends to its level
of stride 4, those up to 512 what a single map is given. The pyramid is pooled through a loop over
its levels around torchvision's operator, as Detectron2 does. Two samples are taken along a bin's
side, or as many as it has pixels ("adaptive", Detectron2's setting).

On a GPU there are two images, and maps of float32 and of float16. torchvision wants RoIs of the
maps' type: both get the rounded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from comparison import Case, Contest, Settings, compared, main
from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

from segsuite.ops import multilevel_roi_align, roi_align

SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
Pool = Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True)
class Pooling:
    """`rois` of `smallest` to `largest` pixels, pooled to `output` x `output` values."""

    rois: int
    smallest: int
    largest: int
    samples: int = 2  # 0: adaptive
    pyramid: bool = False
    output: int = 7
    images: int = 1
    backward: bool = True
    height: int = 800
    width: int = 1216
    channels: int = 256

    def __str__(self) -> str:
        samples = f"{self.samples} samples" if self.samples else "adaptive"
        sizes = f"{self.smallest}-{self.largest} px to {self.output}x{self.output}"
        return f"{self.rois} RoIs of {sizes}, {samples}"


_ON_CPU = (
    Pooling(512, 16, 112),
    Pooling(512, 32, 512),
    Pooling(1000, 16, 800, pyramid=True),
)
_ON_GPU = (
    Pooling(1000, 16, 512, images=2),
    Pooling(1000, 16, 512, samples=0, images=2, backward=False),
    Pooling(1000, 16, 800, samples=0, images=2, pyramid=True),
    Pooling(256, 16, 800, samples=0, images=2, pyramid=True, output=14),
)
_QUICK = (
    Pooling(20, 8, 64, height=64, width=96, channels=8),
    Pooling(20, 8, 64, height=64, width=96, channels=8, samples=0, images=2, pyramid=True),
)


def random_rois(pooling: Pooling) -> Tensor:
    """(rois, 5) RoIs within the images, of sqrt(area) from `smallest` to `largest` pixels."""
    count, (height, width) = pooling.rois, (pooling.height, pooling.width)
    size = pooling.smallest * (pooling.largest / pooling.smallest) ** torch.rand(count)
    ratio = 2 ** (torch.rand(count) - 0.5)
    w, h = (size * ratio).clamp(max=width), (size / ratio).clamp(max=height)
    x, y = torch.rand(count) * (width - w), torch.rand(count) * (height - h)
    image = torch.randint(0, pooling.images, (count,)).float()
    return torch.stack([image, x, y, x + w, y + h], 1)


def level_by_level(features: list[Tensor], rois: Tensor, output: int, samples: int) -> Tensor:
    """The usual way to pool from a pyramid."""
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    levels = torch.floor(4 + torch.log2(size / 224 + 1e-8)).clamp(2, 5).long() - 2
    pooled = features[0].new_zeros(len(rois), features[0].shape[1], output, output)
    for level, (x, scale) in enumerate(zip(features, SCALES, strict=True)):
        here = (levels == level).nonzero()[:, 0]
        part = torchvision_roi_align(x, rois[here].to(x.dtype), output, scale, samples, True)
        pooled.index_put_((here,), part)
    return pooled


def with_backward(pool: Pool, features: list[Tensor], grad: Tensor) -> Callable[[], object]:
    leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in features]
    return lambda: torch.autograd.grad(pool(leaves), leaves, grad, allow_unused=True)


def ways(pooling: Pooling, dtype: torch.dtype, device: str) -> tuple[Pool, Pool]:
    """torchvision's and ours."""
    rounded = random_rois(pooling).to(device, dtype)
    rois, output, samples = rounded.float(), pooling.output, pooling.samples
    if pooling.pyramid:
        return (
            # Levels follow from areas, which float16 does not reach.
            lambda x: level_by_level(x, rois, output, samples),
            lambda x: multilevel_roi_align(x, rois, output, SCALES, samples),
        )
    return (
        lambda x: torchvision_roi_align(x[0], rounded, output, SCALES[0], samples, True),
        lambda x: roi_align(x[0], rois, output, SCALES[0], samples),
    )


def contest(
    pooling: Pooling, layout: str, dtype: torch.dtype, backward: bool, device: str
) -> Contest:
    theirs, ours = ways(pooling, dtype, device)
    features = [
        torch.randn(
            pooling.images,
            pooling.channels,
            round(pooling.height * scale),
            round(pooling.width * scale),
            device=device,
            dtype=dtype,
        ).contiguous(memory_format=LAYOUTS[layout])
        for scale in (SCALES if pooling.pyramid else SCALES[:1])
    ]
    expected = theirs(features)
    difference = float((ours(features) - expected).abs().max())
    # Maps in, pooled values out; their gradients the other way round.
    moved = sum(x.numel() * x.element_size() for x in (*features, expected))
    if not backward:
        remarks = f"differ by {difference:.1e}"
        return Contest(lambda: theirs(features), lambda: ours(features), moved, remarks)
    grad = torch.randn_like(expected)
    both = (with_backward(pool, features, grad) for pool in (theirs, ours))
    return Contest(*both, 2 * moved)


def cases(settings: Settings) -> Iterator[Case]:
    on_gpu = settings.device == "cuda"
    poolings = _QUICK if settings.quick else _ON_GPU if on_gpu else _ON_CPU
    for pooling in poolings:
        operator = "multilevel_roi_align" if pooling.pyramid else "roi_align"
        for layout in LAYOUTS:
            for dtype in (torch.float32, torch.float16) if on_gpu else (torch.float32,):
                for backward in (False, True) if pooling.backward else (False,):
                    direction = "forward + backward" if backward else "forward"
                    kind = f"{layout} {str(dtype).removeprefix('torch.')}"
                    make = partial(contest, pooling, layout, dtype, backward, settings.device)
                    yield compared(f"{operator} {direction}, {pooling}, {kind}", make, queued=True)


if __name__ == "__main__":
    main(__doc__, cases)
