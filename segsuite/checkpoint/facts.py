"""What an address tells of its weights besides the tensors: the ``config.json`` of Hugging Face's
repositories and folders, and timm's table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segsuite.errors import WeightsError

from . import hub
from .convert.formats import Classes, Settings

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
# What is fixed here in networks of transformers, by `model_type`.
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "segformer": {
        "hidden_act": "gelu",
        "num_attention_heads": [1, 2, 5, 8],
        "sr_ratios": [8, 4, 2, 1],
        "strides": [4, 2, 2, 2],
        "mlp_ratios": [4, 4, 4, 4],
    },
    "upernet": {"pool_scales": [1, 2, 3, 6]},
    "convnext": {"hidden_act": "gelu"},
    "convnextv2": {"hidden_act": "gelu"},
    "swin": {"hidden_act": "gelu", "qkv_bias": True, "use_absolute_embeddings": False},
    "dinov2": {"hidden_act": "gelu", "qkv_bias": True},
    "resnet": {"hidden_act": "relu"},
}


# ResNets that blur before they skip pixels, by layers without weights.
_ANTIALIASED = re.compile("blur|netaa")


@dataclass
class Facts:
    """What is known of weights besides the tensors.

    Attributes:
        settings: keys of the configuration, and their values.
        classes: the class names behind each group of heads.
        timm_name: the model of timm's that the backbone is; "" if that is not said.
    """

    settings: Settings = field(default_factory=dict)
    classes: Classes = field(default_factory=dict)
    timm_name: str = ""


def address_facts(address: str | os.PathLike[str]) -> Facts:
    """The facts of the weights at `address`; of a plain file there are none.

    Raises:
        WeightsError: the network has an option that does not exist here.
    """
    text = os.fspath(address)
    if text.startswith("timm://"):
        return _of_timm(text.removeprefix("timm://"))
    if text.startswith(hub.PREFIX):
        config, pixels = (hub.read_hub_json(text, file) for file in (_CONFIG, _PREPROCESSOR))
    else:
        path = Path(address)
        # A plain .pth has nothing to do with whatever config.json is beside it.
        if not path.is_dir() and path.name.partition(".")[0] not in ("model", "pytorch_model"):
            return Facts()
        folder = path if path.is_dir() else path.parent
        config, pixels = (hub.read_json(folder / file) for file in (_CONFIG, _PREPROCESSOR))
    facts = _of_config(config, f"'{text}'")
    facts.settings |= _pixels(pixels.get("image_mean"), pixels.get("image_std"))
    return facts


def _of_timm(name: str) -> Facts:
    try:
        import timm

        source = timm.get_pretrained_cfg(name)
    except (ImportError, RuntimeError):
        return Facts()
    if source is None:
        return _named({}, name)
    return _named(_pixels(source.mean, source.std), name)


def _of_config(config: Mapping[str, Any], label: str) -> Facts:
    for key, read in _LIBRARIES.items():
        if key in config:
            return read(config, label)
    return Facts()


def _of_timm_repository(config: Mapping[str, Any], label: str) -> Facts:
    trained = config.get("pretrained_cfg")
    trained = trained if isinstance(trained, dict) else config
    settings = _pixels(trained.get("mean"), trained.get("std"))
    return _named(settings, str(config["architecture"]))


def _named(settings: Settings, timm_name: str) -> Facts:
    name = timm_name.partition(".")[0]
    settings = {**settings, "MODEL.TIMM.NAME": name}
    if _ANTIALIASED.search(name):
        settings["MODEL.BACKBONE.NAME"] = "build_timm_backbone"
    return Facts(settings, timm_name=name)


def _of_smp(config: Mapping[str, Any], label: str) -> Facts:
    settings: Settings = {}
    upsampling = config.get("decoder_interpolation")
    if upsampling in ("nearest", "bilinear"):
        settings["MODEL.SEM_SEG_HEAD.UPSAMPLING"] = upsampling
    elif upsampling is not None:
        raise WeightsError(
            f"{label}: its decoder enlarges by '{upsampling}' interpolation (config.json), here "
            "it is nearest or bilinear"
        )
    rates = config.get("decoder_atrous_rates")
    if isinstance(rates, (list, tuple)):
        settings["MODEL.SEM_SEG_HEAD.ASPP_DILATIONS"] = list(rates)
    if config.get("encoder_output_stride") == 16:
        settings |= {"MODEL.RESNETS.RES4_DILATION": 1, "MODEL.RESNETS.RES5_DILATION": 2}
    encoder = str(config["encoder_name"])
    return _named(settings, encoder[3:]) if encoder.startswith("tu-") else Facts(settings)


def _of_transformers(config: Mapping[str, Any], label: str) -> Facts:
    body = config.get("backbone_config")
    for part in (config, body if isinstance(body, dict) else {}):
        fixed = _FIXED.get(str(part.get("model_type")), {})
        for key, expected in fixed.items():
            value = part.get(key, expected)
            if value != expected and not (key == "mlp_ratios" and set(value) == {4}):
                raise WeightsError(
                    f"{label}: {key} of its {part['model_type']} is {value} (config.json), and "
                    f"{expected} is what is built here"
                )
    labels = config.get("id2label")
    names: list[str] = []
    if isinstance(labels, dict) and all(str(i) in labels for i in range(len(labels))):
        names = [str(labels[str(i)]) for i in range(len(labels))]
    named = bool(names) and not all(name.startswith("LABEL_") for name in names)
    return Facts(classes={"sem_seg_head": names, "aux_head": names} if named else {})


_LIBRARIES: Mapping[str, Callable[[Mapping[str, Any], str], Facts]] = {
    "model_type": _of_transformers,
    "encoder_name": _of_smp,
    "architecture": _of_timm_repository,
}


def _pixels(mean: Any, std: Any) -> Settings:
    """The settings of RGB images in [0, 1] less `mean`, divided by `std`."""
    if not all(isinstance(v, (list, tuple)) and len(v) == 3 for v in (mean, std)):
        return {}
    return {
        "MODEL.PIXEL_MEAN": [round(255 * value, 3) for value in mean],
        "MODEL.PIXEL_STD": [round(255 * value, 3) for value in std],
        "INPUT.FORMAT": "RGB",
    }
