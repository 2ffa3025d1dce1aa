"""Semantic models of every family through their exports: how far from PyTorch, on real images.

``python -m tests.exporting.families`` makes the table of docs/export.md.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import segsuite
from segsuite.config import CfgNode, load_config
from segsuite.data import read_image
from segsuite.data.planes import to_planes
from segsuite.exporting import check
from segsuite.exporting.graphs import build_graph
from segsuite.exporting.options import ExportOptions
from segsuite.modeling import build_model
from tests.helpers import SHARED

# Of the full images, in pixels: other than the example's, and no multiples of 32.
SIZES = ((100, 150), (161, 97), (128, 256))
RECIPES = (
    *("camvid/fcn32s_vgg16", "camvid/fcn16s_vgg16", "camvid/fcn8s_vgg16", "camvid/fcn8s_resnet18"),
    *("camvid/fcn_resnet18", "camvid/drn_d_22", "cityscapes/drn_c_26", "camvid/unet"),
    *("camvid/unet_vgg11", "camvid/unet_resnet18_20min", "camvid/pspnet_resnet18"),
    *("camvid/deeplab_v3_resnet18", "camvid/deeplab_v3_plus_resnet18", "camvid/hrnet_w18"),
    *("camvid/hrnet_w18_ocr", "camvid/segformer_b0", "camvid/upernet_resnet18"),
    *("camvid/lraspp_mobilenet_v3_large", "smoke/semantic_fpn_shapes", "own/binary"),
)


@dataclass
class Agreement:
    """Of a file and PyTorch over all images.

    Attributes:
        logits: the largest difference, as a share of the largest logit.
        labels: the share of pixels with the same label.
    """

    logits: float = 0.0
    labels: float = 1.0


def camvid_images(count: int = len(SIZES)) -> list[torch.Tensor]:
    """(3, H, W) uint8, RGB."""
    files = sorted((SHARED / "data/camvid/images").rglob("*.jpg"))
    step = len(files) // count
    return [to_planes(read_image(file, "RGB"), "RGB") for file in files[::step][:count]]


def settled(model: nn.Module, images: list[torch.Tensor]) -> nn.Module:
    """`model` with random weights that tell images and classes apart: batch norms of the statistics
    of images, and logits with a deviation of 3 between classes."""
    network = model.network
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    x = network.normalize(torch.stack([image[:, :128, :192] for image in images[:2]]).float())
    for parameter in model.parameters():
        # Some heads begin at zero.
        if not parameter.any() and parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        network.train()(x)
        logits = network.eval()(x)
        deviation = logits.std(dim=1 if logits.shape[1] > 1 else (0, 1, 2, 3)).mean()
        for layer in [network.sem_seg_head.get_submodule(n) for n in last_layers(network)]:
            layer.weight.mul_(3 / float(deviation))
    return model.eval()


def last_layers(network: nn.Module) -> list[str]:
    """Of the head: the one that gives its logits, or all that are summed to them."""
    layers = list(network.sem_seg_head.class_layers or ())
    scores = [name for name in layers if name.startswith("score.")]
    return scores or layers[-1:]


def agreement(cfg: CfgNode, format: str, **options: object) -> Agreement:
    """Export a model with random weights, and compare the file with PyTorch on three images."""
    torch.manual_seed(0)
    images = camvid_images()
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()  # whose classes may be others
    model = settled(build_model(cfg), images)
    with tempfile.TemporaryDirectory() as folder:
        suffix = {"onnx": ".onnx", "openvino": "", "torch_export": ".pt2"}[format]
        path = Path(folder, f"model{suffix}")
        with mock.patch("segsuite.exporting.api._trained", lambda cfg: (model, "")):
            segsuite.export(cfg, path, format=format, logits=True, check_images=1, **options)
        run = check.open_file(path)
        graph = build_graph(cfg, model, ExportOptions(format=format, logits=True, **options))
        found = Agreement()
        for image, (height, width) in zip(images, SIZES, strict=True):
            image = image[:, :height, :width].contiguous()
            record = {"image": image, "height": height * 3 // 2, "width": 2 * width}
            outputs = run(graph.records_to_inputs(record))
            prediction = graph.reference(record)["sem_seg"]
            logits = prediction.full()
            error = (outputs["logits"][0] - logits).abs().amax() / logits.abs().amax()
            same = (outputs["labels"][0] == prediction.labels()).double().mean()
            found.logits = max(found.logits, float(error))
            found.labels = min(found.labels, float(same))
        return found


def main(recipes: list[str]) -> None:
    for recipe in recipes or RECIPES:
        cells = []
        for format in ("onnx", "openvino", "torch_export"):
            options = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
            found = agreement(load_config(recipe, options), format)
            cells.append(f"{found.logits:.1e}, {100 * found.labels:.3f} %")
        print(f"| {recipe} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
