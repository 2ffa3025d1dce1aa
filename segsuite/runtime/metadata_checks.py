"""Whether what an exported file says about itself can be: others may have written it."""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

TASKS = ("semantic", "instances", "panoptic")
PIXEL_FORMATS = ("RGB", "BGR", "L", "bands")


def problem_of(content: dict[str, Any], schema: type) -> str | None:
    """What is wrong with the content of `ExportMetadata`'s JSON; None: nothing.

    Args:
        schema: the dataclass.
    """
    types = get_type_hints(schema)
    for f in dataclasses.fields(schema):
        if f.name not in content and f.default is f.default_factory is dataclasses.MISSING:
            return f"they have no {f.name!r}"
        if f.name in content and not _has_type(content[f.name], types[f.name]):
            return f"their {f.name} is {content[f.name]!r}; expected {f.type}"
    channels = content["in_channels"]
    for key, allowed in (("task", TASKS), ("pixel_format", PIXEL_FORMATS)):
        if content[key] not in allowed:
            return f"their {key} is {content[key]!r}; expected one of {', '.join(allowed)}"
    if channels < 1 or not len(content["mean"]) == len(content["std"]) == channels:
        return f"they have {len(content['mean'])} means for in_channels {channels}"
    return _problem_of_classes(content) or _problem_of_sizes(content)


def _problem_of_classes(content: dict[str, Any]) -> str | None:
    for prefix in ("", "thing_", "stuff_"):
        classes = content.get(f"{prefix}classes", [])
        for key in (f"{prefix}colors", f"{prefix or 'class_'}ids"):
            if content.get(key) and len(content[key]) != len(classes):
                return f"they have {len(content[key])} {key} for {len(classes)} {prefix}classes"
        for color in content.get(f"{prefix}colors", []):
            if len(color) != 3 or not all(0 <= c <= 255 for c in color):
                return f"they have a colour {color}; expected [red, green, blue] of 0 to 255"
    is_panoptic = content["task"] == "panoptic"
    for key in ("thing_classes", "stuff_classes") if is_panoptic else ("classes",):
        if not content.get(key):
            return f"they name no {key}"
    return None


def _problem_of_sizes(content: dict[str, Any]) -> str | None:
    if len(content["input_size"]) != 2 or min(content["input_size"]) < 1:
        return f"their input_size is {content['input_size']}; expected height and width"
    resize = content["resize"]
    if resize is not None and not (
        {"min_size", "max_size"} <= resize.keys() and min(resize.values()) > 0
    ):
        return f"their resize is {resize}; expected min_size and max_size"
    if not {"batch", "size"} <= content["dynamic"].keys():
        return f"their dynamic is {content['dynamic']}; expected batch and size"
    return None


def _has_type(value: Any, expected: Any) -> bool:
    """Whether a value of JSON is of a type as an attribute of `ExportMetadata` is annotated."""
    origin, inner = get_origin(expected), get_args(expected)
    if origin is UnionType:
        return any(_has_type(value, choice) for choice in inner)
    if origin is list:
        return isinstance(value, list) and all(_has_type(v, inner[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(_has_type(v, inner[1]) for v in value.values())
    if expected is float:
        return type(value) in (int, float)
    return expected is Any or type(value) is expected
