"""What each format can: the tables that ``segsuite export --list`` prints."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from .options import FORMATS, PRECISIONS

_WIDTH = 96
_INDENT = 13


@dataclass(frozen=True)
class Family:
    """Models that export alike, in all formats.

    Attributes:
        name: what they are.
        task: of their files.
        models: their names, as `list_models` has them.
        outputs: of a file, see docs/export.md.
        options: further outputs, and what asks for them.
        limits: what is fixed or refused.
    """

    name: str
    task: str
    models: tuple[str, ...]
    outputs: str
    options: str
    limits: str = ""


FAMILIES = (
    Family(
        "semantic segmentation",
        "semantic",
        (
            *("unet", "unet_2015", "fcn", "fcn8s", "fcn16s", "fcn32s", "pspnet", "deeplabv3"),
            *("deeplabv3plus", "drn", "hrnet", "hrnet_ocr", "segformer", "upernet"),
            *("semantic_fpn", "lraspp"),
        ),
        "labels, confidence",
        "--logits: logits too; --bare: normalised images to logits alone",
        limits="TEST.AUG and TEST.SLIDING_WINDOW are no part of a file; Swin Transformers of timm "
        "have one size, --size HxW",
    ),
    Family(
        "instance segmentation and detection",
        "instances",
        ("mask_rcnn", "faster_rcnn", "cascade_mask_rcnn"),
        "boxes, scores, classes, masks in boxes, count; faster_rcnn without masks",
        "--pasted: masks at the size of the image",
        limits="backbones FPN, C4 and DC5, also those of torchvision; scores, boxes, NMS, RoIAlign "
        "and pasting stay in float32",
    ),
    Family(
        "panoptic segmentation",
        "panoptic",
        ("panoptic_fpn",),
        "panoptic, segments, segment_count, labels, and those of instance segmentation",
        "--pasted: masks at the size of the image",
        limits="MODEL.PANOPTIC_FPN.COMBINE.ENABLED is True; scores, boxes, NMS, RoIAlign, pasting "
        "and merging stay in float32",
    ),
)


def format_table() -> str:
    """The formats: what they write, what is free in it, and how precise it is."""
    rows = [["format", "file", "any batch", "any size", *PRECISIONS]]
    for name, suffix in FORMATS.items():
        precisions = ["yes" if name in formats else "-" for formats in PRECISIONS.values()]
        rows.append([name, suffix or "folder", "yes", "yes", *precisions])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def family_table() -> str:
    """The models, and what comes out of their files."""
    return "\n\n".join(map(_describe, FAMILIES))


def _describe(family: Family) -> str:
    facts = {
        "models": ", ".join(family.models),
        "outputs": family.outputs,
        "by option": family.options,
        "precisions": ", ".join(PRECISIONS),
        "limits": family.limits,
    }
    lines = [family.name]
    for key, text in facts.items():
        if text:
            first = f"  {key}".ljust(_INDENT)
            lines.append(
                textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=" " * _INDENT)
            )
    return "\n".join(lines)
