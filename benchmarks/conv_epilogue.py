"""Speed of what follows a convolution, in one pass beside PyTorch's operators one after the other.

    python benchmarks/conv_epilogue.py [--device cuda] [--rows TEXT ...] [--json results.json]

"block" adds a bias and the shortcut of a residual block and applies ReLU, "pyramid" adds a bias and
the coarser level of a feature pyramid. Both ways change their input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from comparison import Case, Contest, Settings, compared, main
from torch import Tensor

from segsuite.ops import conv_epilogue_

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
Shape = tuple[int, int, int, int]


def usual_block(x: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
    return F.relu_(x.add_(bias.view(-1, 1, 1)).add_(residual))


def usual_pyramid(x: Tensor, bias: Tensor, coarse: Tensor) -> Tensor:
    return x.add_(bias.view(-1, 1, 1)).add_(F.interpolate(coarse, scale_factor=2.0))


# The usual way, and ours.
Way = Callable[[Tensor, Tensor, Tensor], Tensor]
WAYS: dict[str, tuple[Way, Way]] = {
    "block": (usual_block, partial(conv_epilogue_, relu=True)),
    "pyramid": (usual_pyramid, partial(conv_epilogue_, upsample=True)),
}


def contest(kind: str, shape: Shape, layout: str, dtype: torch.dtype, device: str) -> Contest:
    def random(*shape: int) -> Tensor:
        # Small, as what they are added to goes from call to call.
        values = torch.randn(shape, device=device, dtype=dtype) / 64
        return values.contiguous(memory_format=LAYOUTS[layout]) if len(shape) == 4 else values

    images, channels, height, width = shape
    size = (height, width) if kind == "block" else (height // 2, width // 2)
    x, bias, residual = random(*shape), random(channels), random(images, channels, *size)
    usual, ours = WAYS[kind]
    other = x.clone(memory_format=torch.preserve_format)
    difference = float((usual(x, bias, residual) - ours(other, bias, residual)).abs().max())
    # One is read and written, the other read.
    moved = 2 * x.numel() * x.element_size() + residual.numel() * residual.element_size()
    return Contest(
        torch.no_grad()(lambda: usual(x, bias, residual)),
        torch.no_grad()(lambda: ours(other, bias, residual)),
        moved,
        f"differ by {difference:.1e}",
    )


def cases(settings: Settings) -> Iterator[Case]:
    on_gpu, device = settings.device == "cuda", settings.device
    shape = (1, 8, 12, 16) if settings.quick else (8 if on_gpu else 1, 256, 200, 304)
    for kind in WAYS:
        for layout in ("NHWC", "NCHW"):
            for dtype in (torch.float32, torch.bfloat16):
                what = f"{kind}, {'x'.join(map(str, shape))}, {layout} {str(dtype)[6:]}"
                make = partial(contest, kind, shape, layout, dtype, device)
                yield compared(f"conv_epilogue_, {what}", make, queued=True)


if __name__ == "__main__":
    main(__doc__, cases)
