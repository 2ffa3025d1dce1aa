"""Speed of Mask R-CNN (R50-FPN) beside torchvision's.

    python benchmarks/mask_rcnn.py [--part inference training] [--repetitions 5] [--json FILE]

Both run by turns in this one process, with all of PyTorch's threads, and the medians are compared;
torchvision's always in float32, as it comes. Weights are random, but such that both propose 1000
regions of the 800 x 1216 image and find 100 instances with masks, the most they may. "inference" is
the whole model, one image. "training" is forward, backward and a step of SGD on two images with
eight objects each, with frozen batch norms, two frozen stages and 512 sampled regions an image in
both. Ours is accelerated as by Predictor, the evaluation loop and the trainer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from timing import median_milliseconds
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from segsuite.acceleration import accelerate
from segsuite.config import load_config
from segsuite.modeling import build_model
from segsuite.structures import BitMasks, Boxes, Instances

HEIGHT, WIDTH, OBJECTS = 800, 1216, 8
CONFIG = Path(__file__).parents[1] / "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"


def objects() -> tuple[Tensor, Tensor, Tensor]:
    """(8, 4) boxes of 60 to 400 pixels, (8,) classes and the ellipses in the boxes as masks."""
    size = 60 * (400 / 60) ** torch.rand(OBJECTS, 2)
    low = torch.rand(OBJECTS, 2) * (torch.tensor([WIDTH, HEIGHT]) - size)
    boxes = torch.cat([low, low + size], dim=1)
    centre, half = low + size / 2, size / 2
    x = (torch.arange(WIDTH) + 0.5 - centre[:, :1]) / half[:, :1]
    y = (torch.arange(HEIGHT) + 0.5 - centre[:, 1:]) / half[:, 1:]
    masks = x[:, None] ** 2 + y[:, :, None] ** 2 <= 1
    return boxes, torch.randint(0, 80, (OBJECTS,)), masks


def ours() -> nn.Module:
    scale = ["MODEL.PIXEL_STD", [57.375, 57.12, 58.395], "MODEL.WEIGHTS", ""]
    model = build_model(load_config(CONFIG, [*scale, "MODEL.DEVICE", "cpu"]))
    return calibrate(model, model.backbone.bottom_up, "conv3.norm")


def torchvisions() -> nn.Module:
    model = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=HEIGHT,
        max_size=WIDTH,
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=1000,
    )
    # With pretrained weights it would have frozen norms and two frozen stages by itself.
    freeze_norms(model)
    for name, parameter in model.backbone.body.named_parameters():
        if not name.startswith(("layer2", "layer3", "layer4")):
            parameter.requires_grad_(False)
    return calibrate(model, model.backbone.body, "bn3")


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


def inference_cases() -> dict[str, Callable[[], object]]:
    image = torch.rand(3, HEIGHT, WIDTH)
    mine, theirs = ours().eval(), torchvisions().eval()
    accelerate(mine, inference=True)
    record = {"image": image * 255}

    def run_ours(dtype: torch.dtype | None) -> object:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
            return mine([record])

    def run_theirs() -> object:
        with torch.inference_mode():
            return theirs([image])

    found = len(run_ours(None)[0]["instances"]), len(run_theirs()[0]["boxes"])
    print(f"instances found: segsuite {found[0]}, torchvision {found[1]}")
    return {
        "torchvision float32": run_theirs,
        "segsuite float32": lambda: run_ours(None),
        "segsuite bfloat16": lambda: run_ours(torch.bfloat16),
    }


def training_cases() -> dict[str, Callable[[], object]]:
    images = torch.rand(2, 3, HEIGHT, WIDTH)
    mine, theirs = ours().train(), torchvisions().train()
    accelerate(mine)
    records, targets = [], []
    for image in images:
        boxes, classes, masks = objects()
        instances = Instances(
            (HEIGHT, WIDTH), gt_boxes=Boxes(boxes), gt_classes=classes, gt_masks=BitMasks(masks)
        )
        records.append({"image": image * 255, "instances": instances})
        targets.append({"boxes": boxes, "labels": classes + 1, "masks": masks.to(torch.uint8)})

    def step(model: nn.Module, losses: Callable, dtype: torch.dtype | None) -> Callable:
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9)

        def run() -> None:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                loss = sum(losses().values())
            loss.backward()
            optimizer.step()

        return run

    return {
        "torchvision float32": step(theirs, lambda: theirs(list(images), targets), None),
        "segsuite float32": step(mine, lambda: mine(records), None),
        "segsuite bfloat16": step(mine, lambda: mine(records), torch.bfloat16),
    }


def main() -> None:
    parts = {"inference": inference_cases, "training": training_cases}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    results = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for part in args.part:
        ms = median_milliseconds(parts[part](), args.repetitions)
        seconds = {name: time / 1000 for name, time in ms.items()}
        reference = seconds["torchvision float32"]
        print(f"{part}, {torch.get_num_threads()} threads")
        for name, value in seconds.items():
            print(f"  {name:20} {value:7.3f} s  {reference / value:5.2f} x")
        results[part] = seconds
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
