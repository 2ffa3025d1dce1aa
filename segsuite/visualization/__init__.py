"""Label maps, instances and panoptic segments as pictures."""

from .draw import class_edges, colorize, overlay
from .errors import ERROR_COLORS, error_map, mask_error_map
from .instances import draw_instances
from .labels import place_labels
from .panoptic import draw_panoptic
from .prediction import Prediction
from .predictions import draw_predictions
from .sheet import comparison, contact_sheet, legend, save_image
from .tracking import ColorTracker

__all__ = [
    "ERROR_COLORS",
    "ColorTracker",
    "Prediction",
    "class_edges",
    "colorize",
    "comparison",
    "contact_sheet",
    "draw_instances",
    "draw_panoptic",
    "draw_predictions",
    "error_map",
    "legend",
    "mask_error_map",
    "overlay",
    "place_labels",
    "save_image",
]
