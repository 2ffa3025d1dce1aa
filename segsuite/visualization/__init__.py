"""Label maps as pictures."""

from .draw import class_edges, colorize, error_map, overlay
from .predictions import draw_predictions
from .sheet import comparison, contact_sheet, legend, save_image

__all__ = [
    "class_edges",
    "colorize",
    "comparison",
    "contact_sheet",
    "draw_predictions",
    "error_map",
    "legend",
    "overlay",
    "save_image",
]
