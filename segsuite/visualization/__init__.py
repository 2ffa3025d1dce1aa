"""Label maps, instances and panoptic segments as pictures."""

from .draw import class_edges, colorize, error_map, overlay
from .instances import agreement_map, draw_instances
from .labels import place_labels
from .panoptic import draw_panoptic
from .prediction import Prediction
from .predictions import draw_predictions
from .sheet import comparison, contact_sheet, legend, save_image
from .tracking import ColorTracker

__all__ = [
    "ColorTracker",
    "Prediction",
    "agreement_map",
    "class_edges",
    "colorize",
    "comparison",
    "contact_sheet",
    "draw_instances",
    "draw_panoptic",
    "draw_predictions",
    "error_map",
    "legend",
    "overlay",
    "place_labels",
    "save_image",
]
