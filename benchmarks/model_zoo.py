"""The rows of the tables in docs/model_zoo.md: what the network of each recipe costs.

    python benchmarks/model_zoo.py configs/camvid/*.yaml [--size H W] [--threads T] [--repeats R]

Parameters are those of the network that predicts, so an auxiliary head is left out. GFLOPs are
10^9 multiply-adds of convolutions and matrix products, those of attention included, for one image
of the given size, by PyTorch's count. Milliseconds are the median of the forward passes of one
image in float32 and channels-last memory, accelerated for inference, up to the logits at the
head's stride, on random weights; with 0 repeats the column is left out, and large networks take a
second and no memory.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segsuite.acceleration import accelerate
from segsuite.config import load_config
from segsuite.modeling import META_ARCH_REGISTRY, SemanticSegmentor, build_model


class Network(nn.Module):
    """What a SemanticSegmentor runs in evaluation, from normalised images to logits."""

    def __init__(self, model: SemanticSegmentor):
        super().__init__()
        self.backbone = model.backbone
        self.sem_seg_head = model.sem_seg_head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.sem_seg_head(self.backbone(images))


def milliseconds(network: nn.Module, images: torch.Tensor, repeats: int) -> float:
    network(images)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        network(images)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


@torch.no_grad()
def row(path: Path, size: tuple[int, int], repeats: int) -> str:
    cfg = load_config(path, ["MODEL.DEVICE", "cpu"])
    with torch.device("meta"):  # counting takes shapes alone
        model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    if not isinstance(model, SemanticSegmentor):
        raise SystemExit(f"{path} is not a recipe of a SemanticSegmentor, but of {type(model)}")
    network = Network(model).eval()
    d = max(model.backbone.size_divisibility, 1)
    height, width = (-(-n // d) * d for n in size)
    shape = (1, len(model.pixel_mean), height, width)
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(shape, device="meta"))
    multiply_adds = counter.get_total_flops() / 2e9
    name, stride = "/".join(path.with_suffix("").parts[-2:]), model.sem_seg_head.stride
    cells = [f"`{name}`", f"1/{stride}", f"{parameters:.2f}", f"{multiply_adds:.1f}"]
    if repeats:
        images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        network = Network(build_model(cfg)).eval()
        accelerate(network, inference=True)
        ms = milliseconds(network, images, repeats)
        cells.append(f"{ms:.0f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--size", nargs=2, type=int, default=(360, 480), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.getLogger("segsuite").setLevel(logging.ERROR)

    height, width = args.size
    print(f"{height}x{width}, {args.threads} threads, torch {torch.__version__}\n")
    columns = ["recipe", "logits at", "parameters (M)", "GFLOPs", "CPU (ms)"]
    columns = columns if args.repeats else columns[:-1]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for path in args.recipes:
        print(row(path, (height, width), args.repeats), flush=True)


if __name__ == "__main__":
    main()
