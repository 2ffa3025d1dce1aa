"""What the label maps of a data set hold: pixels per class, and class weights made from them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import numpy as np

from segsuite.errors import ConfigError, DataError

from .build import get_records
from .cache import remember
from .sem_seg import count_values, read_sem_seg

logger = logging.getLogger(__name__)

BALANCE_MODES = ("median_frequency", "inverse_log", "inverse_sqrt")


def count_labels(record: dict) -> tuple[np.ndarray, np.ndarray]:
    """The values in the label map of a record, after its ``label_map``, and their pixel counts."""
    return count_values(read_sem_seg(record["sem_seg_file_name"], record.get("label_map")))


def label_histogram(
    records: Sequence[dict], num_classes: int, of: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Count the pixels of each class; other labels, the ignore label among them, don't count.

    Args:
        of: the name of the data set. The counts of its label maps are remembered until they change.

    Returns:
        Two (num_classes,) int64 arrays: the pixels of each class, and the labelled pixels of
        those images that the class is in.
    """
    pixels = np.zeros(num_classes, dtype=np.int64)
    pixels_where_present = np.zeros(num_classes, dtype=np.int64)
    counted = remember(functools.partial(_counts), records, of=of, version=1)
    for values, counts in (np.array(result, np.int64) for result in counted.results):
        is_class = (values >= 0) & (values < num_classes)
        values, counts = values[is_class], counts[is_class]
        pixels[values] += counts
        pixels_where_present[values] += counts.sum()
    return pixels, pixels_where_present


def _counts(record: dict) -> list[list[int]]:
    return [column.tolist() for column in count_labels(record)]


def compute_class_weights(dataset_names: Sequence[str], num_classes: int, mode: str) -> list[float]:
    """Loss weights that make rare classes count for more, from the label maps of data sets.

    Args:
        mode: with p the share of a class among all labelled pixels,
            "median_frequency": median(f) / f, f the share among the pixels of the images that
            the class is in (Eigen and Fergus, 2015);
            "inverse_log": 1 / ln(1.02 + p) (ENet, Paszke et al., 2016);
            "inverse_sqrt": 1 / sqrt(p), scaled to a mean of 1.

    Returns:
        num_classes floats; 0 for a class without a single pixel.

    Raises:
        ConfigError: an unknown mode.
        DataError: no labelled pixel at all.
    """
    if mode not in BALANCE_MODES:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.LOSS.CLASS_BALANCE is '{mode}': expected one of "
            f"{', '.join(BALANCE_MODES)}, or '' for none"
        )
    records, of = get_records(dataset_names), ",".join(dataset_names)
    pixels, pixels_where_present = label_histogram(records, num_classes, of)
    present = pixels > 0
    if not present.any():
        raise DataError(
            f"the label maps of {', '.join(dataset_names)} have no pixel of the classes "
            f"0 to {num_classes - 1}, so that no class weights can be computed"
        )
    if not present.all():
        absent = ", ".join(map(str, np.flatnonzero(~present)))
        logger.warning("No training pixel of class %s: its weight is 0", absent)
    return balance_weights(pixels, pixels_where_present, mode).tolist()


def balance_weights(pixels: np.ndarray, pixels_where_present: np.ndarray, mode: str) -> np.ndarray:
    """The weights of `compute_class_weights` from the counts of `label_histogram`."""
    present = pixels > 0
    weights = np.zeros(len(pixels))
    share = pixels[present] / pixels.sum()
    if mode == "median_frequency":
        frequency = pixels[present] / pixels_where_present[present]
        weights[present] = np.median(frequency) / frequency
    elif mode == "inverse_log":
        weights[present] = 1 / np.log(1.02 + share)
    else:
        weights[present] = 1 / np.sqrt(share)
        weights /= weights[present].mean()
    return weights
