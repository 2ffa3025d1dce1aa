"""Instances drawn on images: masks, their outlines, boxes and labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segsuite.data.palette import Color, default_colors, rgb
from segsuite.structures import BitMasks, HasWindows

from .labels import Rectangle, draw_labels


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    masks: HasWindows | np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    colors: Sequence[Color] | None = None,
    alpha: float = 0.45,
    contours: bool = True,
    draw_boxes: bool = True,
) -> np.ndarray:
    """Draw instances over an image, large ones first, so that small ones are not covered.

    Args:
        image: (H, W, 3) uint8 RGB; left as it is.
        boxes: (N, 4) x0, y0, x1, y1 in pixels.
        masks: of the image's size, such as `ROIMasks`, or (N, H, W) bool; looked at inside the
            boxes alone, one at a time.
        texts: a label for each; those of large instances find their places first.
        colors: RGB of each; by default hues that the colour-blind tell apart.
        alpha: opacity of the masks.
        contours: draw the outlines of the masks in full colour.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the masks, texts or colours do not fit the boxes or the image.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    count = len(boxes)
    colors = default_colors(count) if colors is None else colors
    for name, values in (("masks", masks), ("texts", texts), ("colors", colors)):
        if values is not None and len(values) != count:
            raise ValueError(f"{len(values)} {name} for {count} boxes; expected one for each")
    if isinstance(masks, np.ndarray):
        masks = BitMasks(masks)
    if masks is not None and count and masks.image_size != image.shape[:2]:
        raise ValueError(
            f"masks are {' x '.join(map(str, masks.image_size))} pixels (height x width), the "
            f"image {image.shape[0]} x {image.shape[1]}; paste the masks into the image's size"
        )
    picture = image.copy()
    pixels = [_clip(box, image.shape[:2]) for box in boxes]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in pixels]
    order = sorted(range(count), key=lambda i: -areas[i])
    thickness = max(1, round(min(image.shape[:2]) / 500))
    for i in order:
        x0, y0, x1, y1 = pixels[i]
        color = rgb(colors[i])
        if masks is not None and areas[i]:
            mask = _in_box(masks, i, pixels[i])
            _draw_mask(picture[y0:y1, x0:x1], mask, color, alpha, contours)
        if draw_boxes:
            cv2.rectangle(picture, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)), color, thickness)
    if texts is not None:
        draw_labels(
            picture,
            [texts[i] for i in order],
            [pixels[i] for i in order],
            [rgb(colors[i]) for i in order],
            font_size=label_size(image.shape[:2]),
        )
    return picture


def label_size(image_size: tuple[int, int]) -> int:
    """The height of labels in pixels that suits an image of (height, width)."""
    return int(np.clip(min(image_size) / 45, 11, 28))


def _clip(box: np.ndarray, image_size: tuple[int, int]) -> Rectangle:
    """The pixels that a box touches, inside the image."""
    height, width = image_size
    box = np.nan_to_num(box)
    x0, y0 = (int(np.clip(np.floor(v), 0, n)) for v, n in ((box[0], width), (box[1], height)))
    x1, y1 = (int(np.clip(np.ceil(v), 0, n)) for v, n in ((box[2], width), (box[3], height)))
    return x0, y0, max(x0, x1), max(y0, y1)


def _in_box(masks: HasWindows, i: int, box: Rectangle) -> np.ndarray:
    """What of a mask lies in a box, (h, w) bool."""
    x0, y0, x1, y1 = box
    inside = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for top, left, window in masks[i].windows():
        bottom, right = min(top + window.shape[0], y1), min(left + window.shape[1], x1)
        row, column = max(top, y0), max(left, x0)
        part = window[row - top : max(bottom - top, 0), column - left : max(right - left, 0)]
        inside[row - y0 : row - y0 + part.shape[0], column - x0 : column - x0 + part.shape[1]] = (
            part.cpu().numpy()
        )
    return inside


def _draw_mask(
    window: np.ndarray, mask: np.ndarray, color: Color, alpha: float, contours: bool
) -> None:
    mask = np.ascontiguousarray(mask).view(np.uint8)
    tinted = cv2.addWeighted(window, 1 - alpha, np.full_like(window, color), alpha, 0)
    cv2.copyTo(tinted, mask, window)
    if contours:
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        thickness = max(1, round(min(window.shape[:2]) / 150))
        # A window is a view: OpenCV draws into a copy unless it is contiguous.
        drawn = np.ascontiguousarray(window)
        cv2.drawContours(drawn, outlines, -1, rgb(color), thickness, cv2.LINE_AA)
        window[:] = drawn
