"""Speed of RoIAlign beside torchvision's.

    python benchmarks/roi_align.py [--device cuda] [--repetitions 9] [--json results.json]

Both run by turns in this one process, with all of PyTorch's threads, and the medians are compared.
RoIs are random boxes of an 800 x 1216 image with sizes spread evenly in their logarithm and sides
in ratios from 1:2 to 2:1. "small" ones are what a feature pyramid sends to its level of stride 4,
"all sizes" what a single map is given. The pyramid is pooled through a loop over its levels around
torchvision's operator, as Detectron2 does.

On a GPU there are 1000 RoIs of two images, of 16 to 512 pixels, and of 16 to 800 for the pyramid;
float32 and float16; two samples along a bin's side, or as many as pixels ("adaptive").
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


def random_rois(count: int, smallest: float, largest: float, images: int = 1) -> Tensor:
    """(count, 5) RoIs within the images, of sqrt(area) from `smallest` to `largest` pixels."""
    size = smallest * (largest / smallest) ** torch.rand(count)
    ratio = 2 ** (torch.rand(count) - 0.5)
    width, height = (size * ratio).clamp(max=WIDTH), (size / ratio).clamp(max=HEIGHT)
    x, y = torch.rand(count) * (WIDTH - width), torch.rand(count) * (HEIGHT - height)
    image = torch.randint(0, images, (count,)).float()
    return torch.stack([image, x, y, x + width, y + height], 1)


def random_map(scale: float, layout: str, images: int = 1) -> Tensor:
    x = torch.randn(images, CHANNELS, round(HEIGHT * scale), round(WIDTH * scale))
    return x.contiguous(memory_format=LAYOUTS[layout])


def level_by_level(features: list[Tensor], rois: Tensor, sampling_ratio: int = SAMPLING) -> Tensor:
    """The usual way to pool from a pyramid."""
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    levels = torch.floor(4 + torch.log2(size / 224 + 1e-8)).clamp(2, 5).long() - 2
    pooled = features[0].new_zeros(len(rois), CHANNELS, OUTPUT, OUTPUT)
    for level, (x, scale) in enumerate(zip(features, SCALES, strict=True)):
        here = (levels == level).nonzero()[:, 0]
        part = torchvision_roi_align(x, rois[here], OUTPUT, scale, sampling_ratio, True)
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
    theirs: Callable[[list[Tensor]], Tensor],
    ours: Callable[[list[Tensor]], Tensor],
    repetitions: int,
    backward: bool = True,
) -> list[dict]:
    expected, result, device = theirs(features), ours(features), features[0].device.type
    rows = [
        {
            "case": f"{case}, forward",
            **median_milliseconds(
                {"torchvision": lambda: theirs(features), "segsuite": lambda: ours(features)},
                repetitions,
                device,
            ),
            "difference": float((result - expected).abs().max()),
        }
    ]
    grad = torch.randn_like(expected)
    ways = {
        "torchvision": with_backward(theirs, features, grad),
        "segsuite": with_backward(ours, features, grad),
    }
    if backward:
        times = median_milliseconds(ways, repetitions, device)
        rows.append({"case": f"{case}, forward + backward", **times})
    for row in rows:
        row["ratio"] = row["torchvision"] / row["segsuite"]
    return rows


def one_map(layout: str, sizes: str, repetitions: int) -> list[dict]:
    rois = random_rois(512, *SIZES[sizes])
    scale = SCALES[0]
    return compare(
        f"512 {sizes}, one map, {layout}",
        [random_map(scale, layout)],
        lambda x: torchvision_roi_align(x[0], rois, OUTPUT, scale, SAMPLING, True),
        lambda x: roi_align(x[0], rois, OUTPUT, scale, SAMPLING),
        repetitions,
    )


def pyramid(layout: str, repetitions: int) -> list[dict]:
    rois = random_rois(1000, 16, 800)
    return compare(
        f"1000, four levels, {layout}",
        [random_map(scale, layout) for scale in SCALES],
        lambda x: level_by_level(x, rois),
        lambda x: multilevel_roi_align(x, rois, OUTPUT, SCALES, SAMPLING),
        repetitions,
    )


def on_cuda(layout: str, dtype: torch.dtype, repetitions: int) -> list[dict]:
    """One map, with two samples and adaptive, and the pyramid, adaptive."""
    kind = f"{layout} {str(dtype).removeprefix('torch.')}"
    maps = [random_map(scale, layout, 2).to("cuda", dtype) for scale in SCALES]
    rows = []
    for name, sampling_ratio in (("2 samples", SAMPLING), ("adaptive", 0)):
        # Torchvision wants RoIs of the maps' type: both get the rounded ones.
        rounded = random_rois(1000, 16, 512, 2).to("cuda", dtype)
        rois = rounded.float()
        options = OUTPUT, SCALES[0], sampling_ratio, True
        rows += compare(
            f"1000, one map, {name}, {kind}",
            maps[:1],
            lambda x, rois=rounded, options=options: torchvision_roi_align(x[0], rois, *options),
            lambda x, rois=rois, options=options: roi_align(x[0], rois, *options),
            repetitions,
            backward=sampling_ratio > 0,
        )
    rois = random_rois(1000, 16, 800, 2).to("cuda", dtype)
    rows += compare(
        f"1000, four levels, adaptive, {kind}",
        maps,
        lambda x: level_by_level(x, rois, 0),
        lambda x: multilevel_roi_align(x, rois.float(), OUTPUT, SCALES, 0),
        repetitions,
    )
    return rows


def print_rows(rows: list[dict]) -> None:
    print(f"{'RoIs':58} {'torchvision':>12} {'segsuite':>12} {'ratio':>7}")
    for row in rows:
        times = f"{row['torchvision']:9.3f} ms {row['segsuite']:9.3f} ms"
        print(f"{row['case']:58} {times} {row['ratio']:6.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(
        f"{device}; extension: {extension_status()}; {torch.get_num_threads()} threads; "
        f"{OUTPUT} x {OUTPUT}"
    )
    rows = []
    for layout in LAYOUTS:
        if args.device == "cuda":
            for dtype in (torch.float32, torch.float16):
                rows += on_cuda(layout, dtype, args.repetitions)
            continue
        for sizes in SIZES:
            rows += one_map(layout, sizes, args.repetitions)
        rows += pyramid(layout, args.repetitions)
    print_rows(rows)
    if args.json:
        args.json.write_text(
            json.dumps({"device": device, "threads": torch.get_num_threads(), "rows": rows})
        )


if __name__ == "__main__":
    main()
