"""Semantic models beside torchvision's, with the same weights.

    python benchmarks/semantic_models.py [--models fcn deeplab lraspp] [--modes inference ...]
        [--size H W] [--repetitions R] [--threads T]

The peer is torchvision's module in float32 and NCHW memory, as it comes. Ours runs in channels-last
memory, in float32 and under bfloat16 autocast, accelerated as by Predictor, the evaluation loop and
the trainer. All three take turns in this one process; what is compared are medians.
Dropout is off, so that the results of the first step can be compared too.

inference    one normalised image to logits at its size
evaluation   the same to a confusion matrix: ours from the head's logits by the fused operator, the
             peer's through logits and labels at the image's size, and torch.bincount
training     two images: losses of main and auxiliary head, gradients, a step of SGD
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision.models.segmentation as peers
from torch import Tensor, nn

from segsuite.acceleration import accelerate
from segsuite.checkpoint.convert import convert
from segsuite.config import load_config
from segsuite.modeling import SemanticSegmentor, build_model
from segsuite.ops import confusion_matrix_from_logits

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "_base_"
NUM_CLASSES = 21
# Recipe, torchvision's function, and whether it has an auxiliary head.
MODELS = {
    "fcn": ("fcn", peers.fcn_resnet50, True),
    "deeplab": ("deeplab_v3", peers.deeplabv3_resnet50, True),
    "lraspp": ("lraspp", peers.lraspp_mobilenet_v3_large, False),
}
DTYPES = (torch.float32, torch.bfloat16)


def build(name: str) -> tuple[SemanticSegmentor, nn.Module]:
    """Our model and torchvision's, which has the same numbers."""
    recipe, function, has_aux_head = MODELS[name]
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", NUM_CLASSES]
    ours = build_model(load_config(CONFIGS / f"{recipe}.yaml", options))
    aux = {"aux_loss": True} if has_aux_head else {}
    peer = function(weights=None, weights_backbone=None, num_classes=NUM_CLASSES, **aux)
    ours.load_state_dict(convert(peer.state_dict(), ours.state_dict()).weights)
    for module in (*ours.modules(), *peer.modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return ours, peer


def without_aux_head(peer: nn.Module) -> nn.Module:
    """Ours does not run in evaluation either."""
    peer.aux_classifier = None
    return peer.eval()


def autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)


def low_resolution_logits(ours: SemanticSegmentor, images: Tensor, dtype: torch.dtype) -> Tensor:
    with autocast(dtype):
        return ours.sem_seg_head(ours.backbone(images)).float()


def our_inference(ours: SemanticSegmentor, images: Tensor, dtype: torch.dtype) -> Tensor:
    logits = low_resolution_logits(ours, images, dtype)
    return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)


def our_evaluation(
    ours: SemanticSegmentor, images: Tensor, targets: Tensor, dtype: torch.dtype
) -> Tensor:
    logits = low_resolution_logits(ours, images, dtype)
    return confusion_matrix_from_logits(logits, targets, NUM_CLASSES)[:-1, :-1]


def peer_evaluation(peer: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    labels = peer(images)["out"].argmax(1)
    pairs = NUM_CLASSES * targets.long() + labels
    counts = torch.bincount(pairs[targets < NUM_CLASSES], minlength=NUM_CLASSES**2)
    return counts.view(NUM_CLASSES, NUM_CLASSES)


def our_training(
    ours: SemanticSegmentor,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    optimizer.zero_grad()
    with autocast(dtype):
        losses = ours._losses(ours.backbone(images), targets)
    total = sum(losses.values())
    total.backward()
    optimizer.step()
    return total


def peer_training(
    peer: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, targets: Tensor
) -> Tensor:
    optimizer.zero_grad()
    outputs = peer(images)
    total = F.cross_entropy(outputs["out"], targets, ignore_index=255)
    if "aux" in outputs:
        total = total + 0.4 * F.cross_entropy(outputs["aux"], targets, ignore_index=255)
    total.backward()
    optimizer.step()
    return total


def contestants(mode: str, name: str, size: tuple[int, int]) -> list[Callable[[], Tensor]]:
    """Ours in each of DTYPES, then the peer."""
    torch.manual_seed(0)
    ours, peer = build(name)
    images = torch.randn(2 if mode == "training" else 1, 3, *size)
    targets = torch.randint(0, NUM_CLASSES, (len(images), *size))
    last = images.contiguous(memory_format=torch.channels_last)
    if mode == "training":
        sgd = partial(torch.optim.SGD, lr=1e-4, momentum=0.9)
        models, steps = (ours.train(), peer.train()), []
        accelerate(ours)
        optimizers = [sgd(model.parameters()) for model in models]
        for dtype in DTYPES:
            steps.append(partial(our_training, ours, optimizers[0], last, targets, dtype))
        return [*steps, partial(peer_training, peer, optimizers[1], images, targets)]
    ours, peer = ours.eval(), without_aux_head(peer)
    accelerate(ours, inference=True)
    if mode == "inference":
        mine = [partial(our_inference, ours, last, dtype) for dtype in DTYPES]
        return [*mine, lambda: peer(images)["out"]]
    labels = targets.to(torch.uint8)
    mine = [partial(our_evaluation, ours, last, labels, dtype) for dtype in DTYPES]
    return [*mine, partial(peer_evaluation, peer, images, labels)]


def check(mode: str, ours: Tensor, peer: Tensor) -> None:
    """Both computed the same in float32, to rounding; one pixel in a thousand may change sides."""
    if mode == "evaluation":
        assert (ours - peer).abs().sum() <= 0.002 * peer.sum()
    else:
        torch.testing.assert_close(ours, peer, rtol=1e-3, atol=1e-3 * float(peer.abs().max()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = ("inference", "evaluation", "training")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--modes", nargs="+", choices=modes, default=modes)
    parser.add_argument("--size", nargs=2, type=int, default=(360, 480), metavar=("H", "W"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    print(f"{args.size[0]}x{args.size[1]}, {args.threads} threads, torch {torch.__version__}")
    print("ms: torchvision, ours in fp32 and in bf16; in brackets how many times as fast")
    for name in args.models:
        for mode in args.modes:
            with torch.set_grad_enabled(mode == "training"):
                steps = contestants(mode, name, tuple(args.size))
                # The first step of each warms up; the weights are still equal.
                results = [step() for step in steps]
                check(mode, results[0].detach(), results[-1].detach())
                times: list[list[float]] = [[] for _ in steps]
                for _ in range(args.repetitions):
                    for step, seconds in zip(steps, times, strict=True):
                        start = time.perf_counter()
                        step()
                        seconds.append(time.perf_counter() - start)
            fp32, bf16, peer = (1000 * statistics.median(t) for t in times)
            print(
                f"{name:8} {mode:10} {peer:7.0f} {fp32:7.0f} ({peer / fp32:.2f}x) "
                f"{bf16:7.0f} ({peer / bf16:.2f}x)",
                flush=True,
            )


if __name__ == "__main__":
    main()
