"""What each format can: the table that ``segsuite export --list`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from .options import FORMATS, PRECISIONS

_YES, _NO = "yes", "-"


@dataclass(frozen=True)
class Family:
    """Models that export alike.

    Attributes:
        models: their names, as `list_models` has them, or those of backbones.
        any_size: one file takes images of any size; else the size is fixed by --size.
        outputs: of the file.
        options: further outputs, and what asks for them.
    """

    models: tuple[str, ...]
    any_size: bool
    outputs: str
    options: str


_SEMANTIC = (
    *("unet", "unet_2015", "fcn", "fcn8s", "fcn16s", "fcn32s", "pspnet", "deeplabv3"),
    *("deeplabv3plus", "drn", "hrnet", "hrnet_ocr", "segformer", "upernet", "semantic_fpn"),
    "lraspp",
)
FAMILIES = (Family(_SEMANTIC, True, "labels, confidence", "--logits; --bare: logits alone"),)


def format_table() -> str:
    """The formats: what is fixed or free, and how precise they are."""
    rows = [["format", "file", "any batch", "any size", *PRECISIONS]]
    for name, suffix in FORMATS.items():
        precisions = [_YES if name in formats else _NO for formats in PRECISIONS.values()]
        rows.append([name, suffix or "folder", _YES, _YES, *precisions])
    return _aligned(rows)


def family_table() -> str:
    """The models, and what comes out of their files."""
    rows = [["models", *FORMATS, "any size", "outputs", "by option"]]
    for family in FAMILIES:
        size = _YES if family.any_size else "--size HxW"
        for i, name in enumerate(family.models):
            more = [family.outputs, family.options] if i == 0 else ['"', '"']
            rows.append([name, *[_YES] * len(FORMATS), size, *more])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
