"""What RoIAlign's CUDA kernels move, counted in the emulation.

    python -m tests.csrc.roi_align_traffic [--rois 12]

For the shapes of `benchmarks/roi_align.py --device cuda`: the megabytes that must move (each map
and each pooled value once), and those of the 32-byte sectors that the kernels' requests touch, most
of which caches serve. Some of the RoIs are counted, with few channels, and scaled; the loads of a
gradient are on the high side, as what a block reads whatever the channels is scaled, too. NCHW maps
that the operator copies first are counted so.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import math

import torch
from torch import Tensor

from tests.csrc.emulation import counting, emulated, pointer
from tests.csrc.test_cuda_roi_align import TYPES, as_map, emulate

NUM_ROIS, CHANNELS, COUNTED_CHANNELS = 1000, 256, 32
HEIGHT, WIDTH, IMAGES, BINS = 800, 1216, 2, 7
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
MB = 1e6


def random_rois(count: int, smallest: float, largest: float) -> Tensor:
    """(count, 5) as in the benchmark: sizes spread in their logarithm, sides from 1:2 to 2:1."""
    size = smallest * (largest / smallest) ** ((torch.arange(count) + 0.5) / count)
    ratio = 2 ** (torch.rand(count) - 0.5)
    width, height = (size * ratio).clamp(max=WIDTH), (size / ratio).clamp(max=HEIGHT)
    x, y = torch.rand(count) * (WIDTH - width), torch.rand(count) * (HEIGHT - height)
    image = torch.randint(0, IMAGES, (count,)).float()
    return torch.stack([image, x, y, x + width, y + height], 1)


def count(
    layout: str, dtype: torch.dtype, scales: list[float], sampling_ratio: int, num_rois: int
) -> dict[str, float]:
    """Megabytes of all channels and RoIs."""
    torch.manual_seed(0)
    rois = random_rois(num_rois, 16, 512 if len(scales) == 1 else 800)
    sizes = [(math.ceil(HEIGHT * scale), math.ceil(WIDTH * scale)) for scale in scales]
    maps = [
        torch.zeros(IMAGES, COUNTED_CHANNELS, *size, dtype=dtype).to(memory_format=FORMATS[layout])
        for size in sizes
    ]
    pooled = torch.zeros(num_rois, COUNTED_CHANNELS, BINS, BINS, dtype=dtype)
    more_channels, more_rois = CHANNELS / COUNTED_CHANNELS, NUM_ROIS / num_rois
    result = {
        "maps": sum(x.nbytes for x in maps) * more_channels / MB,
        "pooled": pooled.nbytes * more_channels * more_rois / MB,
    }
    library = emulated("emulate_roi_align")
    copied = (
        layout == "NCHW" and sampling_ratio > 0
    )  # what worth_channels_last says of these shapes
    if copied:
        copies = [x.to(memory_format=torch.channels_last) for x in maps]
        with counting(library) as copying:
            for x, to in zip(maps, copies, strict=True):
                arguments = ctypes.byref(as_map(x)), IMAGES, COUNTED_CHANNELS
                library.copy_channels_last(*arguments, TYPES.index(dtype), pointer(to))
    for backward in (False, True):
        if backward:  # the operator hands over a gradient with adjacent channels
            pooled = pooled.contiguous(memory_format=torch.channels_last)
        elif layout == "channels_last":
            pooled = pooled.to(memory_format=torch.channels_last)
        with counting(library) as counts:
            read = copies if copied and not backward else maps
            emulate(read, pooled, rois, scales, sampling_ratio, True, backward=backward)
        scaled = more_channels * 32 / MB
        name = "backward" if backward else "forward"
        result[f"{name} loads"] = counts["loads"].sectors * scaled * more_rois
        result[f"{name} stores"] = (
            counts["stores"].sectors * scaled * (1 if backward else more_rois)
        )
        if copied and not backward:
            for kind in ("loads", "stores"):
                result[f"forward {kind}"] += copying[kind].sectors * scaled
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rois", type=int, default=12, help="RoIs to count")
    args = parser.parse_args()
    print(f"{NUM_ROIS} RoIs {BINS}x{BINS}, {CHANNELS} channels, {IMAGES} images; MB")
    header = ["maps + pooled", "fwd loads", "fwd stores", "bwd loads", "bwd stores"]
    print(f"{'':44}" + "".join(f"{name:>15}" for name in header))
    for scales, sampling_ratio in (([0.25], 2), ([0.25], 0), ([1 / 4, 1 / 8, 1 / 16, 1 / 32], 0)):
        for layout, dtype in itertools.product(FORMATS, (torch.float32, torch.float16)):
            moved = count(layout, dtype, scales, sampling_ratio, args.rois)
            name = "pyramid" if len(scales) > 1 else "one map"
            samples = f"{sampling_ratio} samples" if sampling_ratio else "adaptive"
            columns = [moved["maps"] + moved["pooled"]]
            columns += [
                moved[f"{direction} {kind}"]
                for direction in ("forward", "backward")
                for kind in ("loads", "stores")
            ]
            print(
                f"{f'{name}, {samples}, {layout} {str(dtype)[6:]}':44}"
                + "".join(f"{column:15.0f}" for column in columns),
                flush=True,
            )


if __name__ == "__main__":
    main()
