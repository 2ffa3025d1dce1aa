"""Speed of RoIAlign beside torchvision's.

    python benchmarks/roi_align.py [--repetitions 9] [--json results.json]

Both run by turns in this one process, with all of PyTorch's threads, and the medians are compared.
RoIs are random boxes of an 800 x 1216 image with sizes spread evenly in their logarithm and sides
in ratios from 1:2 to 2:1. "small" ones are what a feature pyramid sends to its level of stride 4,
"all sizes" what a single map is given. The pyramid is pooled through a loop over its levels around
torchvision's operator, as Detectron2 does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from timing import median_milliseconds
from torch import Tensor
from torchvision.ops import roi_align as torchvision_roi_align

from segsuite.ops import extension_status, multilevel_roi_align, roi_align

HEIGHT, WIDTH, CHANNELS = 800, 1216, 256
SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
SIZES = {"small": (16, 112), "all sizes": (32, 512)}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
OUTPUT, SAMPLING = 7, 2


def random_rois(count: int, smallest: float, largest: float) -> Tensor:
    """(count, 5) RoIs within the image, of sqrt(area) from `smallest` to `largest` pixels."""
    size = smallest * (largest / smallest) ** torch.rand(count)
    ratio = 2 ** (torch.rand(count) - 0.5)
    width, height = (size * ratio).clamp(max=WIDTH), (size / ratio).clamp(max=HEIGHT)
    x, y = torch.rand(count) * (WIDTH - width), torch.rand(count) * (HEIGHT - height)
    return torch.stack([torch.zeros(count), x, y, x + width, y + height], 1)


def random_map(scale: float, layout: str) -> Tensor:
    x = torch.randn(1, CHANNELS, round(HEIGHT * scale), round(WIDTH * scale))
    return x.contiguous(memory_format=LAYOUTS[layout])


def level_by_level(features: list[Tensor], rois: Tensor) -> Tensor:
    """The usual way to pool from a pyramid."""
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    levels = torch.floor(4 + torch.log2(size / 224 + 1e-8)).clamp(2, 5).long() - 2
    pooled = features[0].new_zeros(len(rois), CHANNELS, OUTPUT, OUTPUT)
    for level, (x, scale) in enumerate(zip(features, SCALES, strict=True)):
        here = (levels == level).nonzero()[:, 0]
        part = torchvision_roi_align(x, rois[here], OUTPUT, scale, SAMPLING, True)
        pooled.index_put_((here,), part)
    return pooled


def with_backward(
    pool: Callable[[list[Tensor]], Tensor], features: list[Tensor], grad: Tensor
) -> Callable[[], None]:
    leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in features]

    def run() -> None:
        torch.autograd.grad(pool(leaves), leaves, grad)

    return run


def compare(
    case: str,
    features: list[Tensor],
    rois: Tensor,
    theirs: Callable[[list[Tensor]], Tensor],
    ours: Callable[[list[Tensor]], Tensor],
    repetitions: int,
) -> list[dict]:
    expected, result = theirs(features), ours(features)
    rows = [
        {
            "case": f"{case}, forward",
            **median_milliseconds(
                {"torchvision": lambda: theirs(features), "segsuite": lambda: ours(features)},
                repetitions,
            ),
            "difference": float((result - expected).abs().max()),
        }
    ]
    grad = torch.randn_like(expected)
    ways = {
        "torchvision": with_backward(theirs, features, grad),
        "segsuite": with_backward(ours, features, grad),
    }
    rows.append({"case": f"{case}, forward + backward", **median_milliseconds(ways, repetitions)})
    for row in rows:
        row["ratio"] = row["torchvision"] / row["segsuite"]
    return rows


def one_map(layout: str, sizes: str, repetitions: int) -> list[dict]:
    rois = random_rois(512, *SIZES[sizes])
    scale = SCALES[0]
    return compare(
        f"512 {sizes}, one map, {layout}",
        [random_map(scale, layout)],
        rois,
        lambda x: torchvision_roi_align(x[0], rois, OUTPUT, scale, SAMPLING, True),
        lambda x: roi_align(x[0], rois, OUTPUT, scale, SAMPLING),
        repetitions,
    )


def pyramid(layout: str, repetitions: int) -> list[dict]:
    rois = random_rois(1000, 16, 800)
    return compare(
        f"1000, four levels, {layout}",
        [random_map(scale, layout) for scale in SCALES],
        rois,
        lambda x: level_by_level(x, rois),
        lambda x: multilevel_roi_align(x, rois, OUTPUT, SCALES, SAMPLING),
        repetitions,
    )


def print_rows(rows: list[dict]) -> None:
    print(f"{'RoIs':58} {'torchvision':>12} {'segsuite':>12} {'ratio':>7}")
    for row in rows:
        times = f"{row['torchvision']:9.1f} ms {row['segsuite']:9.1f} ms"
        print(f"{row['case']:58} {times} {row['ratio']:6.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(
        f"extension: {extension_status()}; {torch.get_num_threads()} threads; {OUTPUT} x {OUTPUT}"
    )
    rows = []
    for layout in LAYOUTS:
        for sizes in SIZES:
            rows += one_map(layout, sizes, args.repetitions)
        rows += pyramid(layout, args.repetitions)
    print_rows(rows)
    if args.json:
        args.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}))


if __name__ == "__main__":
    main()
