"""Semantic models beside torchvision's, with the same weights.

    python benchmarks/semantic_models.py [--device cuda] [--rows TEXT ...] [--threads T]

The peer is torchvision's module in NCHW memory, as it comes, ours runs in channels-last memory,
accelerated as by Predictor, the evaluation loop and the trainer. Both compute in the same types,
but on the CPU torchvision's always in float32. Dropout is off, so that the results of the first
step can be compared, too.

inference    normalised images to logits at their size
evaluation   the same to a confusion matrix: ours from the head's logits by the fused operator, the
             peer's through logits and labels at the image's size, and torch.bincount; on a GPU
             that of the smallest also with our network in a CUDA graph (TEST.CUDA_GRAPHS)
training     losses of main and auxiliary head, gradients, a step of SGD
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision.models.segmentation as peers
from comparison import Case, Contest, Settings, compared, main
from mask_rcnn import Dtype, autocast, name_of, peers_dtype
from torch import Tensor, nn

from segsuite.acceleration import accelerate
from segsuite.checkpoint.convert import convert
from segsuite.config import load_config
from segsuite.modeling import SemanticSegmentor, build_model
from segsuite.modeling.meta_arch.network import head_losses
from segsuite.ops import confusion_matrix_from_logits

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "_base_"
NUM_CLASSES = 21
# Recipe, torchvision's function, and whether it has an auxiliary head.
MODELS = {
    "FCN": ("fcn", "fcn_resnet50", True),
    "DeepLabV3": ("deeplab_v3", "deeplabv3_resnet50", True),
    "LR-ASPP": ("lraspp", "lraspp_mobilenet_v3_large", False),
}


def build(name: str, device: str) -> tuple[SemanticSegmentor, nn.Module]:
    """Our model and torchvision's, which has the same numbers."""
    recipe, function, has_aux_head = MODELS[name]
    options = ["MODEL.DEVICE", device, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", NUM_CLASSES]
    ours = build_model(load_config(CONFIGS / f"{recipe}.yaml", options))
    aux = {"aux_loss": True} if has_aux_head else {}
    make_peer = getattr(peers, function)
    peer = make_peer(weights=None, weights_backbone=None, num_classes=NUM_CLASSES, **aux)
    ours.load_state_dict(convert(peer.state_dict(), ours.state_dict()).weights)
    for module in (*ours.modules(), *peer.modules()):
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return ours, peer.to(device)


def without_aux_head(peer: nn.Module) -> nn.Module:
    """Ours does not run in evaluation either."""
    peer.aux_classifier = None
    return peer.eval()


def low_resolution_logits(ours: SemanticSegmentor, images: Tensor, dtype: Dtype) -> Tensor:
    with autocast(images.device.type, dtype):
        return ours.logits(images).float()


def our_inference(ours: SemanticSegmentor, images: Tensor, dtype: Dtype) -> Tensor:
    logits = low_resolution_logits(ours, images, dtype)
    return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)


def our_evaluation(
    ours: SemanticSegmentor, images: Tensor, targets: Tensor, dtype: Dtype
) -> Tensor:
    logits = low_resolution_logits(ours, images, dtype)
    return confusion_matrix_from_logits(logits, targets, NUM_CLASSES)[:-1, :-1]


def peer_inference(peer: nn.Module, images: Tensor, dtype: Dtype) -> Tensor:
    with autocast(images.device.type, dtype):
        return peer(images)["out"]


def peer_evaluation(peer: nn.Module, images: Tensor, targets: Tensor, dtype: Dtype) -> Tensor:
    labels = peer_inference(peer, images, dtype).argmax(1)
    pairs = NUM_CLASSES * targets.long() + labels
    counts = torch.bincount(pairs[targets < NUM_CLASSES], minlength=NUM_CLASSES**2)
    return counts.view(NUM_CLASSES, NUM_CLASSES)


def our_losses(ours: SemanticSegmentor, images: Tensor, targets: Tensor) -> Tensor:
    features = ours.backbone(images)
    losses = head_losses(ours.sem_seg_head, ours.aux_head, features, targets)
    return torch.stack([*losses.values()]).sum()


def peer_losses(peer: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    outputs = peer(images)
    total = F.cross_entropy(outputs["out"], targets, ignore_index=255)
    if "aux" in outputs:
        total = total + 0.4 * F.cross_entropy(outputs["aux"], targets, ignore_index=255)
    return total


def training_step(
    model: nn.Module,
    losses: Callable[[nn.Module, Tensor, Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    dtype: Dtype,
) -> Callable[[], Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def run() -> Tensor:
        optimizer.zero_grad()
        with autocast(images.device.type, dtype):
            total = losses(model, images, targets)
        total.backward()
        optimizer.step()
        return total.detach()

    return run


def contest(
    mode: str,
    name: str,
    batch: int,
    size: tuple[int, int],
    dtype: Dtype,
    device: str,
    cuda_graphs: int = 0,
) -> Contest:
    ours, peer = build(name, device)
    theirs = peers_dtype(device, dtype)
    images = torch.randn(batch, 3, *size, device=device)
    last = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, NUM_CLASSES, (batch, *size), device=device)
    usual: Callable[[], Tensor]
    mine: Callable[[], Tensor]
    if mode == "training":
        accelerate(ours.train())
        usual = training_step(peer.train(), peer_losses, images, targets, theirs)
        mine = training_step(ours, our_losses, last, targets, dtype)
    else:
        ours, peer = ours.eval(), without_aux_head(peer)
        accelerate(ours, inference=True, cuda_graphs=cuda_graphs)
        labels = targets.to(torch.uint8)
        if mode == "inference":
            usual = partial(peer_inference, peer, images, theirs)
            mine = partial(our_inference, ours, last, dtype)
        else:
            usual = partial(peer_evaluation, peer, images, labels, theirs)
            mine = partial(our_evaluation, ours, last, labels, dtype)
        usual, mine = torch.inference_mode()(usual), torch.inference_mode()(mine)
    for _ in range(2 if cuda_graphs else 0):  # the third is the first one that is replayed
        mine()
    # The weights are still equal.
    expected, result = usual().double(), mine().double()
    difference = float((result - expected).abs().sum() / expected.abs().sum())
    return Contest(usual, mine, remarks=f"differ by {difference:.1e}")


def cases(settings: Settings) -> Iterator[Case]:
    on_gpu, device = settings.device == "cuda", settings.device
    size = (64, 96) if settings.quick else (512, 1024) if on_gpu else (360, 480)
    # FCN is much like DeepLabV3, and where time is dear it is left out.
    for name in [*MODELS][on_gpu or settings.quick :]:
        for mode in ("inference", "evaluation", "training"):
            if on_gpu and mode == "inference":
                continue
            batch = 8 if on_gpu else 2 if mode == "training" else 1
            for dtype in (None, torch.bfloat16):
                kind = f"{batch} x {size[0]}x{size[1]}, {name_of(dtype, device)}"
                make = partial(contest, mode, name, batch, size, dtype, device)
                yield compared(f"{name} {mode}, {kind}", make)
                if on_gpu and (name, mode) == ("LR-ASPP", "evaluation"):
                    graphed = partial(make, cuda_graphs=1)
                    yield compared(f"{name} {mode} in a CUDA graph, {kind}", graphed)


if __name__ == "__main__":
    main(__doc__, cases)
