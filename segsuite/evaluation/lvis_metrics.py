"""LVIS's figures of detections (Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance
Segmentation", CVPR 2019), where an image is annotated for some of the categories alone."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.data.datasets.coco_faults import Faults
from segsuite.data.datasets.coco_images import read_image_facts
from segsuite.data.datasets.coco_values import as_integer

from .coco_arrays import split_images
from .coco_engines import AREA_RANGES, COCOCurves
from .coco_files import COCOIndex, read_objects
from .coco_matching import Federation, MatchingEngine
from .coco_metrics import COCOFigures, ap_by_category, figure_at, mean_defined, pr_curves
from .coco_results import detection_columns

logger = logging.getLogger(__name__)

MAX_DETECTIONS = 300
# By how many images of the training set have a category: up to 10, up to 100, more.
_FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}


def lvis_figures(
    ground_truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    task: str,
    *,
    dilation_ratio: float = 0.02,
) -> COCOFigures:
    """Compare detections with a ground truth by the rules of LVIS.

    Args:
        ground_truth: the content of a file in LVIS's format: COCO's, with ``neg_category_ids`` and
            ``not_exhaustive_category_ids`` of images and the ``frequency`` of categories.
        detections: as `coco_figures` takes them. The best 300 of an image count.
        task: "bbox", "segm", or "boundary": masks, by the IoU of their boundaries too.
        dilation_ratio: width of the band of "boundary" as a share of the image diagonal.

    Returns:
        Figures with the `summary` AP, AP50, AP75, APs, APm, APl, APr, APc, APf (of rare, common and
        frequent categories), AR@300, ARs@300, ARm@300 and ARl@300.

    Raises:
        DataError: a detection is not of this ground truth, or lacks what the task compares.
    """
    objects, index = read_objects(ground_truth)
    faults = Faults()
    categories = index.category_numbers
    facts = read_image_facts(ground_truth["images"], categories, index.source, faults)
    faults.report(index.source, 0)
    image_ids = [image["id"] for image in ground_truth["images"]]
    federation = federation_of(facts, image_ids, index)
    engine = build_lvis_engine(task, index, federation, dilation_ratio)
    for part in split_images(index.sizes, objects, detection_columns(detections, index)):
        engine.add(part)
    entries = {category["id"]: category for category in ground_truth["categories"]}
    frequencies = frequencies_of([entries[id_] for id_ in index.category_ids], index.source)
    return lvis_figures_of(engine.curves(), index.category_ids, frequencies)


def build_lvis_engine(
    task: str, index: COCOIndex, federation: Federation, dilation_ratio: float = 0.02
) -> MatchingEngine:
    """An engine with LVIS's rules that has no image yet; see `lvis_figures` for the arguments."""
    return MatchingEngine(
        *(task, len(index.category_ids), (MAX_DETECTIONS,)),
        federation=federation,
        dilation_ratio=dilation_ratio,
    )


def federation_of(
    facts: Sequence[Mapping[str, Sequence[int]]], image_ids: Sequence[Any], index: COCOIndex
) -> Federation:
    """What is said of images about categories.

    Args:
        facts: of F images, with numbers of categories: ``neg_category_ids`` and
            ``not_exhaustive_category_ids``, where they are known.
        image_ids: F ids; those that `index` lacks are left out.
    """
    numbers = index.image_numbers.exact
    negative, not_exhaustive = (
        np.array(
            [
                (numbers[image_id], category)
                for image_id, of_image in zip(image_ids, facts, strict=True)
                if image_id in numbers
                for category in of_image.get(key, ())
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        for key in ("neg_category_ids", "not_exhaustive_category_ids")
    )
    return Federation(negative, not_exhaustive, MAX_DETECTIONS)


def frequencies_of(categories: Sequence[Mapping[str, Any]], source: str) -> list[str | None]:
    """The ``frequency`` of each category, "r", "c" or "f", or what its ``image_count`` makes of it;
    None where neither is there, of which one warning tells.

    Args:
        categories: entries of a file.
        source: the file, for the warning.
    """
    frequencies = [_frequency(category) for category in categories]
    without = [c for c, f in zip(categories, frequencies, strict=True) if f is None]
    if without:
        logger.warning(
            "%s: %d of %d categories have no frequency (r, c or f), nor an image_count to take it "
            "from, the first is %s (%r): they take no part in APr, APc and APf",
            *(source, len(without), len(categories)),
            *(without[0].get("id"), without[0].get("frequency", "none")),
        )
    return frequencies


def _frequency(category: Mapping[str, Any]) -> str | None:
    stated, count = category.get("frequency"), as_integer(category.get("image_count"))
    if isinstance(stated, str) and stated in _FREQUENCIES:
        return stated
    if count is None:
        return None
    return "r" if count <= 10 else "c" if count <= 100 else "f"


def lvis_figures_of(
    curves: COCOCurves, category_ids: Sequence[Any], frequencies: Sequence[str | None]
) -> COCOFigures:
    """What LVIS reports of precision over recall, with the one limit `MAX_DETECTIONS`.

    Args:
        category_ids, frequencies: by the number of the category.
    """
    figure = functools.partial(figure_at, curves, max_detections=MAX_DETECTIONS)
    summary = {
        "AP": figure("precision", None, "all"),
        "AP50": figure("precision", 0.5, "all"),
        "AP75": figure("precision", 0.75, "all"),
    }
    summary |= {f"AP{area[0]}": figure("precision", None, area) for area in AREA_RANGES[1:]}
    for letter in _FREQUENCIES:
        of = [k for k, frequency in enumerate(frequencies) if frequency == letter]
        summary[f"AP{letter}"] = mean_defined(curves.precision[:, :, of, 0])
    summary[f"AR@{MAX_DETECTIONS}"] = figure("recall", None, "all")
    for area in AREA_RANGES[1:]:
        summary[f"AR{area[0]}@{MAX_DETECTIONS}"] = figure("recall", None, area)
    by_category = ap_by_category(curves, category_ids, MAX_DETECTIONS)
    return COCOFigures(summary, by_category, pr_curves(curves, MAX_DETECTIONS), {})
