"""The rows of the table in docs/model_zoo.md: what the network of each recipe costs.

    python benchmarks/model_zoo.py configs/camvid/*.yaml [--size H W] [--threads T] [--repeats R]

Parameters are those of the network that predicts, so an auxiliary head is left out. GFLOPs are
10^9 multiply-adds by fvcore's count, of convolutions, matrix products and norms, for one image of
the given size. Milliseconds are the median of the forward passes of one image in float32 and
channels-last memory, up to the logits at the head's stride, with random weights.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import time
from pathlib import Path

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn

from segsuite.config import load_config
from segsuite.modeling import SemanticSegmentor, build_model


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


def matmul_flops(inputs: list, outputs: list) -> int:
    """fvcore's own knows no products with a vector."""
    return math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


@torch.no_grad()
def row(path: Path, size: tuple[int, int], repeats: int) -> str:
    model = build_model(load_config(path, ["MODEL.DEVICE", "cpu"]))
    if not isinstance(model, SemanticSegmentor):
        raise SystemExit(f"{path} is not a recipe of a SemanticSegmentor, but of {type(model)}")
    network = Network(model).eval()
    d = max(model.backbone.size_divisibility, 1)
    height, width = (-(-n // d) * d for n in size)
    images = torch.randn(1, len(model.pixel_mean), height, width)
    images = images.contiguous(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    analysis = FlopCountAnalysis(network, images).set_op_handle("aten::matmul", matmul_flops)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    flops = analysis.total() / 1e9
    name = "/".join(path.with_suffix("").parts[-2:])
    ms = milliseconds(network, images, repeats)
    stride = f"1/{model.sem_seg_head.stride}"
    return f"| `{name}` | {stride} | {parameters:.2f} | {flops:.1f} | {ms:.0f} |"


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
    print("| recipe | logits at | parameters (M) | GFLOPs | CPU (ms) |")
    print("|---|---|---|---|---|")
    for path in args.recipes:
        print(row(path, (height, width), args.repeats), flush=True)


if __name__ == "__main__":
    main()
