"""`convert_weights`: a file of another library as ours, with the configuration of its network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .addresses import read_weights
from .convert import Classes, Conversion, convert
from .convert.formats import Settings, Weights
from .facts import Facts, address_facts
from .load_weights import file_weights
from .settings import backbone_settings, network_settings, settings_text, timm_candidates
from .tables import group_names, table

_TIMM_BODIES = ("backbone.bottom_up.net.", "backbone.net.")
_TIMM_NAME = "MODEL.TIMM.NAME"


@dataclass
class ConvertedWeights:
    """What `convert_weights` makes of a file.

    Attributes:
        source: the library and its network; "" if it is none that is known.
        weights: by our names.
        classes: the class names behind each group of heads.
        settings: keys of the configuration with which a model here is the file's network; of a file
            with a backbone alone those of the backbone. Empty if none can be built.
        alternatives: models of timm's with the same names and shapes as the one in `settings`.
        unused: (their name, why).
        refused: why the network can't be built here; "" if it can.
    """

    source: str
    weights: Weights
    classes: Classes
    settings: Settings
    alternatives: Sequence[str]
    unused: list[tuple[str, str]]
    refused: str
    origins: Mapping[str, str]

    @property
    def config(self) -> str:
        """The settings as YAML, if they are those of a whole model; else ""."""
        is_whole = "MODEL.META_ARCHITECTURE" in self.settings
        return settings_text(self.settings) if is_whole else ""

    def report(self) -> str:
        """What became of the names: which library's they are, and which are not used, why."""
        if not self.source:
            return f"{len(self.weights)} names, of no library that is known: left as they are"
        lines = [f"{self.source}: {len(self.origins)} names converted"]
        for why in dict.fromkeys(why for _, why in self.unused):
            names = [name for name, reason in self.unused if reason == why]
            rows = group_names(names, [*self.origins.values(), *names])
            lines.append(f"not used, {why}:\n{table(rows)}")
        for group, classes in self.classes.items():
            lines.append(f"{len(classes)} classes of {group}: {', '.join(classes[:4])}, ...")
        return "\n".join(lines)

    def advice(self) -> str:
        """The settings as lines to paste into a YAML file, and what the weights do not tell."""
        if not self.settings:
            return "its network is none that is known here: there is no configuration to give"
        lines = ["the configuration that fits it, to save as a YAML file or to take over into one:"]
        lines += ["", settings_text(self.settings), ""]
        if self.alternatives:
            lines.append(
                f"# {_TIMM_NAME} may also be {', '.join(self.alternatives)}: names and shapes are "
                "the same, but padding, an epsilon or a pooling differs. The file does not tell"
            )
        if not self.source:
            lines.append(
                "# Names are those of Detectron2 or of this suite, and do not tell strides, "
                "dilations, interpolations and pixels: take these from the training's configuration"
            )
        elif "MODEL.PIXEL_MEAN" in self.settings:
            lines.append(
                "# PIXEL_MEAN, PIXEL_STD and FORMAT are what the library usually has, unless the "
                "address told: use what the weights were trained with"
            )
        return "\n".join(lines)


def convert_weights(address: str | os.PathLike[str]) -> ConvertedWeights:
    """Read a file or an address, give its weights our names, and find its configuration.

    Raises:
        MissingFileError, MissingPackageError, FileAccessError, WeightsError: as `read_weights`.
    """
    state = read_weights(address)
    tensors = {n: t for n, t in file_weights(state).items() if torch.is_tensor(t)}
    facts = address_facts(address)
    conversion, names = _recognise(tensors, facts)
    conversion.settings |= _of_file(state, conversion)
    settings = network_settings(conversion, names)
    if settings:
        told = {
            k: v for k, v in facts.settings.items() if k != _TIMM_NAME or _TIMM_NAME in settings
        }
        settings |= told
    return ConvertedWeights(
        source=conversion.source,
        weights=conversion.weights,
        classes=facts.classes or state.get("classes") or conversion.classes,
        settings=settings,
        alternatives=names[1:],
        unused=conversion.unused,
        refused=conversion.refused,
        origins=conversion.origins,
    )


def _recognise(tensors: Weights, facts: Facts) -> tuple[Conversion, list[str]]:
    """The conversion, and which of timm's models the backbone may be."""
    conversion = convert(tensors)
    weights = conversion.weights
    body = next((b for b in _TIMM_BODIES if any(n.startswith(b) for n in weights)), None)
    if body is not None:
        inside = {n.removeprefix(body): w for n, w in weights.items() if n.startswith(body)}
        return conversion, [facts.timm_name] if facts.timm_name else timm_candidates(inside)
    if any(name.startswith(("backbone.", "sem_seg_head.")) for name in weights):
        return conversion, []
    is_of_timm_alone = "MODEL.BACKBONE.NAME" in facts.settings
    if conversion.refused or (backbone_settings(weights) is not None and not is_of_timm_alone):
        return conversion, []
    # A backbone alone, that only timm has.
    names = [facts.timm_name] if facts.timm_name else timm_candidates(weights)
    if not names and conversion.source:
        names = timm_candidates(tensors)
    if names and not conversion.source.startswith("transformers"):
        conversion = Conversion(
            f"timm {names[0]}", dict(tensors), {name: name for name in tensors}, [], {}
        )
    return conversion, names


def _of_file(state: Mapping[str, Any], conversion: Conversion) -> Settings:
    """What a file of Detectron2's tells: it has the pixels' mean among its weights, and where they
    are not divided its ResNet began as the original's, whose strides are in the first 1x1."""
    settings: Settings = {}
    for key in ("pixel_mean", "pixel_std"):
        if key in conversion.weights and conversion.weights[key].numel() == 3:
            values = conversion.weights[key].flatten().tolist()
            settings[f"MODEL.{key.upper()}"] = [round(value, 3) for value in values]
    if settings.get("MODEL.PIXEL_MEAN", [0, 0, 0])[0] > 110:
        settings["INPUT.FORMAT"] = "RGB"
    elif settings:
        settings["INPUT.FORMAT"] = "BGR"
    if settings.get("MODEL.PIXEL_STD") == [1.0, 1.0, 1.0]:
        settings["MODEL.RESNETS.STRIDE_IN_1X1"] = True
    return settings
