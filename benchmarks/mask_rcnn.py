"""Speed of Mask R-CNN (R50-FPN) beside torchvision's.

    python benchmarks/mask_rcnn.py [--device cuda] [--rows TEXT ...] [--json results.json]

Weights are random, but such that both propose 1000 regions of the 800 x 1216 image and find 100
instances with masks, the most they may. "inference" is the whole model, "training" is forward,
backward and a step of SGD on images with eight objects each, with frozen batch norms, two frozen
stages and 512 sampled regions an image in both. Ours is accelerated as by Predictor, the evaluation
loop and the trainer. Both compute in the same types, but on the CPU torchvision's always in
float32, as it comes.

torchvision's model makes masks as large as the image, ours leaves them in their boxes until
somebody asks. In rows of masks "in boxes" torchvision's are left there, too; in those of "pasted"
ones ours are asked for: bool, where torchvision's stay probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from comparison import Case, Contest, Settings, compared, main
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from segsuite.acceleration import accelerate
from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.structures import BitMasks, Boxes, Instances

OBJECTS = 8
CONFIG = Path(__file__).parents[1] / "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
# How many regions are proposed and sampled; what a quick look takes is less than usual.
REGIONS, SAMPLED, QUICK_REGIONS, QUICK_SAMPLED = 1000, 512, 100, 16
PASTE = "torchvision.models.detection.transform.paste_masks_in_image"
Size = tuple[int, int]
# None: float32, on a GPU of TensorFloat-32.
Dtype = torch.dtype | None


def objects(size: Size) -> tuple[Tensor, Tensor, Tensor]:
    """(8, 4) boxes of a twentieth to a third of the width, (8,) classes and ellipses as masks."""
    height, width = size
    sides = width / 20 * (20 / 3) ** torch.rand(OBJECTS, 2)
    low = torch.rand(OBJECTS, 2) * (torch.tensor([width, height]) - sides)
    boxes = torch.cat([low, low + sides], dim=1)
    centre, half = low + sides / 2, sides / 2
    x = (torch.arange(width) + 0.5 - centre[:, :1]) / half[:, :1]
    y = (torch.arange(height) + 0.5 - centre[:, 1:]) / half[:, 1:]
    masks = x[:, None] ** 2 + y[:, :, None] ** 2 <= 1
    return boxes, torch.randint(0, 80, (OBJECTS,)), masks


def ours(device: str, quick: bool = False) -> nn.Module:
    options = ["MODEL.PIXEL_STD", [57.375, 57.12, 58.395], "MODEL.WEIGHTS", ""]
    if quick:
        for mode in ("TRAIN", "TEST"):
            options += [f"MODEL.RPN.POST_NMS_TOPK_{mode}", QUICK_REGIONS]
        options += ["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", QUICK_SAMPLED]
    model = build_model(load_config(CONFIG, [*options, "MODEL.DEVICE", device]))
    return calibrate(model, model.backbone.bottom_up, "conv3.norm")


def torchvisions(size: Size, device: str, quick: bool = False) -> nn.Module:
    regions = QUICK_REGIONS if quick else REGIONS
    model = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=min(size),
        max_size=max(size),
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=regions,
        rpn_post_nms_top_n_test=regions,
        box_batch_size_per_image=QUICK_SAMPLED if quick else SAMPLED,
    )
    # With pretrained weights it would have frozen norms and two frozen stages by itself.
    freeze_norms(model)
    for name, parameter in model.backbone.body.named_parameters():
        if not name.startswith(("layer2", "layer3", "layer4")):
            parameter.requires_grad_(False)
    return calibrate(model, model.backbone.body, "bn3").to(device)


def freeze_norms(model: nn.Module) -> None:
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                frozen = FrozenBatchNorm2d(child.num_features)
                frozen.load_state_dict(child.state_dict())
                setattr(module, name, frozen)


def calibrate(model: nn.Module, resnet: nn.Module, last_norm: str) -> nn.Module:
    """Residual blocks add little, as after training, and some class is likely everywhere."""
    for name, norm in resnet.named_modules():
        if name.endswith(last_norm):
            nn.init.constant_(norm.weight, 0.2)
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.bias, std=3)
    return model


def autocast(device: str, dtype: Dtype) -> torch.autocast:
    return torch.autocast(device, dtype, enabled=dtype is not None)


def peers_dtype(device: str, dtype: Dtype) -> Dtype:
    return None if device == "cpu" else dtype


def inference(num_images: int, dtype: Dtype, pasted: bool, settings: Settings) -> Contest:
    device, size = settings.device, size_of(settings)
    image = torch.rand(3, *size, device=device)
    mine = ours(device, settings.quick).eval()
    theirs = torchvisions(size, device, settings.quick).eval()
    accelerate(mine, inference=True)
    records, images = [{"image": image * 255}] * num_images, [image] * num_images
    in_boxes = partial(patch, PASTE, lambda masks, boxes, shape: masks)

    def run_ours() -> list[Instances]:
        with torch.inference_mode(), autocast(device, dtype):
            found = [output["instances"] for output in mine(records)]
            if pasted:
                for instances in found:
                    instances.pred_masks = instances.pred_masks.to_bitmasks()
            return found

    def run_theirs() -> list[dict[str, Tensor]]:
        with (
            torch.inference_mode(),
            autocast(device, peers_dtype(device, dtype)),
            nullcontext() if pasted else in_boxes(),
        ):
            return theirs(images)

    found = len(run_ours()[0]), len(run_theirs()[0]["boxes"])
    return Contest(run_theirs, run_ours, remarks=f"instances {found[1]}, {found[0]}")


def training(num_images: int, dtype: Dtype, settings: Settings) -> Contest:
    device, size = settings.device, size_of(settings)
    images = torch.rand(num_images, 3, *size, device=device)
    mine = ours(device, settings.quick).train()
    theirs = torchvisions(size, device, settings.quick).train()
    accelerate(mine)
    records, targets = [], []
    for image in images:
        boxes, classes, masks = (x.to(device) for x in objects(size))
        instances = Instances(
            size, gt_boxes=Boxes(boxes), gt_classes=classes, gt_masks=BitMasks(masks)
        )
        records.append({"image": image * 255, "instances": instances})
        targets.append({"boxes": boxes, "labels": classes + 1, "masks": masks.to(torch.uint8)})

    def step(model: nn.Module, losses: Callable[[], dict[str, Any]], dtype: Dtype) -> Callable:
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9)
        scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)

        def run() -> None:
            optimizer.zero_grad()
            with autocast(device, dtype):
                loss = sum(losses().values())
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

        return run

    return Contest(
        step(theirs, lambda: theirs(list(images), targets), peers_dtype(device, dtype)),
        step(mine, lambda: mine(records), dtype),
    )


def cases(settings: Settings) -> Iterator[Case]:
    on_gpu, device = settings.device == "cuda", settings.device
    halves = (torch.float16, torch.bfloat16) if on_gpu else (torch.bfloat16,)
    dtypes: tuple[Dtype, ...] = (None, *halves)
    in_training, in_inference = ((2, 16), (1, 8)) if on_gpu else ((2,), (1,))
    for num_images in in_training:
        for dtype in dtypes:
            name = f"Mask R-CNN training, {num_images} images, {name_of(dtype, device)}"
            yield compared(name, partial(training, num_images, dtype, settings))
    for num_images in in_inference:
        for dtype in dtypes:
            for pasted in (False, True):
                masks = "pasted" if pasted else "in boxes"
                kind = f"{num_images} images, {name_of(dtype, device)}, masks {masks}"
                make = partial(inference, num_images, dtype, pasted, settings)
                yield compared(f"Mask R-CNN inference, {kind}", make)


def size_of(settings: Settings) -> Size:
    return (64, 96) if settings.quick else (800, 1216)


def name_of(dtype: Dtype, device: str) -> str:
    if dtype is None:
        return "tf32" if device == "cuda" else "float32"
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main(__doc__, cases)
