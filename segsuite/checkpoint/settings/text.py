"""Settings as lines of a configuration."""

from __future__ import annotations

from typing import Any

from ..convert.formats import Settings

# Sections in the order of the configuration's files; others follow as they come.
_FIRST = ("META_ARCHITECTURE", "PIXEL_MEAN", "PIXEL_STD", "MASK_ON", "BACKBONE")


def settings_text(settings: Settings) -> str:
    """Keys and values as YAML that a configuration file can be made of::

    MODEL:
      RESNETS:
        DEPTH: 50
    """
    tree: dict[str, Any] = {}
    for key, value in sorted(settings.items(), key=lambda item: _place(item[0])):
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[name] = value
    return "\n".join(_lines(tree, ""))


def _place(key: str) -> tuple[bool, int]:
    section = key.split(".")[1]
    return not key.startswith("MODEL."), _FIRST.index(section) if section in _FIRST else 99


def _lines(tree: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_value(value)}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    # YAML takes 1e-05 for text: its numbers have a point.
    return f"{value:.1e}" if isinstance(value, float) and 0 < abs(value) < 1e-3 else str(value)
