"""What the CUDA kernels of the confusion matrix move and add, counted in the emulation.

    python -m tests.csrc.confusion_matrix_traffic [--part 8]

For shapes of semantic evaluation, smooth (areas of a class, a tenth of the targets at random) and
noise: the megabytes of logits and labels, each read once, those of the 32-byte sectors that the
loads of all warps touch, how many pixels are interpolated, and the atomics of shared and of global
memory.
A part of the height of one image is counted, and scaled; what the blocks add to the result at their
end is of the emulation's three blocks, and not scaled.
"""

from __future__ import annotations

import argparse
import ctypes

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.csrc.emulation import Counts, counting, emulated
from tests.csrc.test_cuda_confusion_matrix import emulated_count, emulated_label_maps

MB = 1e6
FROM_LOGITS = [
    (19, 1, (128, 256), (1024, 2048)),
    (19, 4, (256, 512), (1024, 2048)),
    (150, 4, (128, 171), (512, 683)),
    (21, 16, (65, 65), (513, 513)),
]
LABEL_MAPS = [(19, 4, (1024, 2048)), (150, 4, (1024, 2048))]


def make_logits(num_classes: int, size: tuple[int, int], smooth: bool) -> Tensor:
    if not smooth:
        return torch.randn(1, num_classes, *size)
    coarse = torch.randn(1, num_classes, *(max(2, side // 24) for side in size))
    return F.interpolate(coarse, size, mode="bicubic") * 4


def make_target(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The labels of the upsampled logits, a tenth replaced, some ignored."""
    target = F.interpolate(logits, size, mode="bilinear").argmax(1)
    random = torch.randint(0, logits.shape[1], target.shape)
    target = torch.where(torch.rand(target.shape) < 0.1, random, target)
    return target.masked_fill(torch.rand(target.shape) < 0.03, 255).to(torch.uint8)


def mixed_share(logits: Tensor) -> float:
    """The share of cells whose corners differ in their largest class."""
    labels = logits.argmax(1)
    first = labels[:, :-1, :-1]
    others = (labels[:, :-1, 1:], labels[:, 1:, :-1], labels[:, 1:, 1:])
    return torch.stack([first != other for other in others]).any(0).float().mean().item()


def show(name: str, floor: float, counts: dict[str, Counts], mixed: float, scale: float) -> None:
    columns = (
        f"{floor / MB:9.1f}{counts['loads'].sectors * 32 * scale / MB:9.1f}",
        f"{100 * mixed:13.0f} %",
        f"{counts['shared_atomics'].bytes / 4 * scale / MB:15.3f}",
        f"{counts['atomics'].bytes / 8 / MB:15.3f}",
    )
    print(f"{name:52}" + "".join(columns), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, default=8, help="count 1/PART of an image's height")
    part = parser.parse_args().part
    torch.manual_seed(0)
    library: ctypes.CDLL = emulated("emulate_confusion_matrix")
    header = f"{'MB':>9}{'loads':>9}{'interpolated':>15}{'shared, M':>15}{'global, M':>15}"
    print(f"{'':52}{header}")
    for num_classes, images, source, size in FROM_LOGITS:
        for smooth in (True, False):
            for memory_format in (torch.contiguous_format, torch.channels_last):
                rows = (max(2, source[0] // part), source[1])
                out_size = (size[0] * rows[0] // source[0], size[1])
                logits = make_logits(num_classes, rows, smooth)
                target = make_target(logits, out_size)
                logits = logits.to(memory_format=memory_format)
                out = torch.zeros((num_classes + 1, num_classes + 1), dtype=torch.int64)
                with counting(library) as counts:
                    emulated_count(logits, target, rows, 255, out)
                scale = images * source[0] / rows[0]
                name = f"{num_classes} classes, {images} x {source[0]}x{source[1]} -> "
                name += f"{size[0]}x{size[1]}"
                layout = "NHWC" if memory_format == torch.channels_last else "NCHW"
                name += f", {'smooth' if smooth else 'noise'}, {layout}"
                floor = (logits.nbytes + target.nbytes) * scale
                show(name, floor, counts, mixed_share(logits), scale)
    for num_classes, images, size in LABEL_MAPS:
        for dtype in (torch.uint8, torch.int64):
            for smooth in (True, False):
                rows = (size[0] // part, size[1])
                pred, target = (
                    make_logits(num_classes, rows, smooth).argmax(1).to(dtype) for _ in range(2)
                )
                with counting(library) as counts:
                    emulated_label_maps(pred, target, num_classes, 255)
                name = f"label maps, {num_classes} classes, {images} x {size[0]}x{size[1]}, "
                name += f"{str(dtype)[6:]}, {'smooth' if smooth else 'noise'}"
                floor = 2 * pred.nbytes * images * part
                show(name, floor, counts, 0, images * part)


if __name__ == "__main__":
    main()
