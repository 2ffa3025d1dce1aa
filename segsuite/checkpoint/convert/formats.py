"""`Format`: how the names in one kind of published checkpoint become those of our models."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from segsuite.errors import WeightsError

# Regular expressions and what replaces their matches, applied one after the other.
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
Weights = dict[str, torch.Tensor]
# The class names behind each group of heads, by the first part of the parameters' names.
Classes = dict[str, list[str]]
# Keys of the configuration and their values.
Settings = dict[str, Any]
# Why the last layer of a backbone's file is not used.
IMAGENET_CLASSIFIER = "the ImageNet classifier"
# Of names that are not missed.
NOT_A_WEIGHT = "not a weight"


@dataclass(frozen=True)
class Part:
    """A branch of a model: names that begin with `theirs` are rewritten and begin with `ours`."""

    theirs: str
    ours: str
    rules: Rules = ()


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint.

    Attributes:
        name: for the report: "torchvision FCN".
        marks: regular expressions; a state dict is of this format if each is found in a name.
        without: regular expressions, none of which may be found in a name.
        parts: the first whose `theirs` begins a name takes it; names without a part are left out.
        unused: (regular expression, why) for names that are left out on purpose.
        values: (regular expression, function) to rearrange the tensors of converted names.
        finish: changes the converted weights as a whole.
        classes: the class names of converted weights, if they are known.
        settings: what the library computes with these converted weights that their names and shapes
            do not say, as keys of the configuration: strides, dilations, the pixels' mean.
        refused: why the network, or a part of it, can't be built here. The backbone is converted
            all the same.
    """

    name: str
    marks: tuple[str, ...]
    parts: tuple[Part, ...]
    without: tuple[str, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = ()
    finish: Callable[[Weights], Weights] = dict
    classes: Callable[[Weights], Classes] = field(default=lambda weights: {})
    settings: Callable[[Weights], Settings] = field(default=lambda weights: {})
    refused: str = ""

    def fits(self, names: str) -> bool:
        """Whether this is the format of a checkpoint with `names`, which are lines of a text."""
        return all(re.search(mark, names, re.M) for mark in self.marks) and not any(
            re.search(mark, names, re.M) for mark in self.without
        )


@dataclass
class Conversion:
    """What became of a state dict.

    Attributes:
        source: the format's name; "" if nothing was converted.
        weights: by our names.
        origins: our name -> theirs.
        unused: (their name, why).
        classes: the class names behind the heads, where the format tells.
        settings: the format's; see there.
        refused: why the file's network can't be built here; "" if it can.
    """

    source: str
    weights: Weights
    origins: dict[str, str]
    unused: list[tuple[str, str]]
    classes: Classes
    settings: Settings = field(default_factory=dict)
    refused: str = ""


def apply_format(fmt: Format, state: Weights) -> Conversion:
    """Rename and rearrange `state` as `fmt` says.

    Raises:
        WeightsError: two names become one.
    """
    weights: Weights = {}
    origins: dict[str, str] = {}
    unused: list[tuple[str, str]] = []
    for name, tensor in state.items():
        why = next((why for pattern, why in fmt.unused if re.search(pattern, name)), None)
        part = next((part for part in fmt.parts if name.startswith(part.theirs)), None)
        if why is not None or part is None:
            unused.append((name, why or f"not a name of the format '{fmt.name}'"))
            continue
        ours = name.removeprefix(part.theirs)
        for pattern, replacement in part.rules:
            ours = re.sub(pattern, replacement, ours)
        ours = part.ours + ours
        if ours in weights:
            raise WeightsError(f"'{name}' and '{origins[ours]}' both become '{ours}' ({fmt.name})")
        for pattern, function in fmt.values:
            if re.search(pattern, ours):
                tensor = function(tensor)
        weights[ours], origins[ours] = tensor, name
    weights = fmt.finish(weights)
    classes, settings = fmt.classes(weights), fmt.settings(weights)
    return Conversion(fmt.name, weights, origins, unused, classes, settings, fmt.refused)


# ResNet as torchvision, timm and others name it. (Rules of named stages, so that they also do for a
# network in which only some exist.)
RESNET: Rules = (
    (r"^conv1\.0\.", "stem.conv1."),  # timm's and MMSegmentation's stems of three convolutions
    (r"^conv1\.1\.", "stem.conv1.norm."),
    (r"^conv1\.3\.", "stem.conv2."),
    (r"^conv1\.4\.", "stem.conv2.norm."),
    (r"^conv1\.6\.", "stem.conv3."),
    (r"^(conv1|bn1)\.", r"stem.\1."),
    *((rf"^layer{i}\.", f"res{i + 1}.") for i in (1, 2, 3, 4)),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
)
# Modules of a torch Sequential (convolution, norm) as our one. (The norm first: what the other rule
# leaves may end in 1.)
CONV_NORM: Rules = ((r"(^|\.)1\.(\w+)$", r"\1norm.\2"), (r"(^|\.)0\.(\w+)$", r"\1\2"))

# How torchvision, timm and MMSegmentation keep a ResNet's features at stride 8.
OUTPUT_STRIDE_8: Settings = {
    "MODEL.RESNETS.RES4_DILATION": 2,
    "MODEL.RESNETS.RES5_DILATION": 4,
    "MODEL.RESNETS.DILATE_FIRST_BLOCK": False,
}
