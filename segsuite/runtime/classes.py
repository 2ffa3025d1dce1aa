"""Names and colours of what an exported model finds."""

from __future__ import annotations

from .metadata import ExportMetadata

Color = tuple[int, int, int]
_BACKGROUND = "background"
_BACKGROUND_COLOR = (64, 64, 64)
# Okabe and Ito, "Color Universal Design" (2008): told apart with any kind of colour-blindness.
_PALETTE = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167)),
    *((213, 94, 0), (86, 180, 233), (240, 228, 66)),
)


def label_names(metadata: ExportMetadata) -> list[str]:
    """The name of each value in label maps: of a single class it is 1, and 0 is background."""
    names = metadata.stuff_classes or metadata.classes
    if len(names) != 1:
        return list(names)
    is_taken = names[0].casefold() == _BACKGROUND
    return [f"not {names[0]}" if is_taken else _BACKGROUND, *names]


def label_colors(metadata: ExportMetadata) -> list[Color]:
    """The RGB colour of each of `label_names`."""
    given = metadata.stuff_colors or metadata.colors
    colors = _colors(given, len(metadata.stuff_classes or metadata.classes))
    return [_BACKGROUND_COLOR, *colors] if len(colors) == 1 else colors


def thing_colors(metadata: ExportMetadata) -> list[Color]:
    """The RGB colour of each class of instances."""
    given = metadata.thing_colors or metadata.colors
    return _colors(given, len(metadata.thing_classes or metadata.classes))


def _colors(given: list[list[int]], count: int) -> list[Color]:
    if given:
        return [(red, green, blue) for red, green, blue in given]
    return [_PALETTE[i % len(_PALETTE)] for i in range(count)]
