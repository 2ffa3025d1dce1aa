"""List the models that have a name, or tell about one: options, backbones, parameters."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from segsuite.utils.arguments import positive_int

if TYPE_CHECKING:
    from segsuite.models import ModelInfo

EXAMPLES = """examples:
  segsuite models
  segsuite models unet
  segsuite models upernet --backbone mit_b0 --num-classes 19

In Python they are segsuite.create_model(NAME, ...), see docs/python.md. A YAML file of your own
takes one as _BASE_, under the name that is printed.
"""
_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a model; without it all")
    parser.add_argument("--backbone", metavar="NAME", help="instead of the model's usual one")
    parser.add_argument(
        "--num-classes",
        type=positive_int,
        default=21,
        metavar="K",
        help="to count for (default 21)",
    )
    parser.add_argument(
        "--in-channels", type=positive_int, default=3, metavar="C", help="of the images (default 3)"
    )


def run(args: argparse.Namespace) -> None:
    from segsuite.models import find_model, list_models

    if args.name is not None:
        print(about(find_model(args.name), args.backbone, args.num_classes, args.in_channels))
        return
    models = list_models().values()
    for takes, title in _TITLES.items():
        print(f"\n{title}\n")
        for model in models:
            if model.takes == takes:
                text = f"{model.name}: {model.summary}. {model.paper}"
                print(textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="      "))


_TITLES = {
    "images": "tensors of images in, logits of each pixel out",
    "records": "records in; objects, with boxes and classes, out",
}
_RETURNS = {
    "images": "images (N, C, H, W) -> logits (N, K, H, W)",
    "records": "list of records -> losses in training, list of predictions in evaluation",
}


def about(
    model: ModelInfo, backbone: str | None = None, num_classes: int = 21, in_channels: int = 3
) -> str:
    """All there is to say about a model, in lines."""
    import torch

    from segsuite.config.node import read_yaml_chain
    from segsuite.config.recipes import find_config
    from segsuite.models import backbone_names, create_model
    from segsuite.utils.nested import flatten

    torch.manual_seed(0)
    network = create_model(
        model.name, num_classes=num_classes, backbone=backbone, in_channels=in_channels
    )
    rows = {
        "paper": model.paper,
        "takes": _RETURNS[model.takes],
        "backbone": f"{backbone or model.backbone}" + ("" if backbone else " unless it is named"),
        "parameters": _parameters(network, num_classes),
    }
    if model.takes == "images":
        rows["logits at"] = f"1/{network.sem_seg_head.stride}, brought to the size of the images"
    rows["_BASE_"] = f'"{model.config}"'
    settings: dict[str, object] = {}
    for _, content in read_yaml_chain(find_config(model.config)):
        settings |= flatten({"MODEL": content.get("MODEL", {})})
    lines = [f"{model.name}: {model.summary}", ""]
    lines += [f"  {key:12}{value}" for key, value in rows.items()]
    lines += ["", "backbones, by backbone=NAME (or --backbone here):", ""]
    names = ", ".join([*backbone_names(), "and any of timm's as timm/NAME"])
    lines += textwrap.wrap(names, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += [
        "",
        "what its configuration sets, to be changed by overrides={KEY: VALUE} or in YAML:",
    ]
    lines += ["", *(f"  {key} {value}" for key, value in settings.items())]
    return "\n".join(lines)


def _parameters(network: object, num_classes: int) -> str:
    from torch import nn

    assert isinstance(network, nn.Module)
    counts = {
        name: sum(p.numel() for p in part.parameters()) / 1e6
        for name, part in network.named_children()
    }
    parts = ", ".join(f"{name} {count:.2f} M" for name, count in counts.items())
    return f"{sum(counts.values()):.2f} M with {num_classes} classes: {parts}"
