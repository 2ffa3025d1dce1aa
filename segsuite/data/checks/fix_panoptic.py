"""A fixed copy of the JSON file of panoptic segmentations; the PNG files stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segsuite.utils.files import write_json

from .images import UNUSABLE, examine_image
from .panoptic import PanopticFile, SegmentFacts, examine_segments


def fix_panoptic(panoptic: PanopticFile, output: Path) -> list[str]:
    """Write ``panoptic.json`` into `output`.

    Left out: images and PNG files that can't be read, are alone or differ in size; segments without
    a pixel, of an unknown category, or of an id that was there before. Areas are counted anew.

    Returns:
        What was done, a line for each change.
    """
    changes, images, annotations = [], {}, {}
    for annotation in panoptic.content["annotations"]:
        facts = examine_segments(panoptic.segments_file(annotation))
        id = annotation["image_id"]
        reason = _reason(panoptic, id, facts)
        if reason is None and id in images:
            reason = "the image has another"
        if reason is not None:
            changes.append(f"left out {facts.file_name}: {reason}")
            continue
        segments: list[dict[str, Any]] = []
        for segment in annotation["segments_info"]:
            fixed, how = _fixed(segment, {s["id"] for s in segments}, panoptic, facts)
            if how:
                changes.append(f"{how} segment {segment['id']} of {facts.file_name}")
            if fixed is not None:
                segments.append(fixed)
        images[id] = panoptic.images[id]
        annotations[id] = {**annotation, "segments_info": segments}
    for id, image in panoptic.images.items():
        if id not in images:
            changes.append(f"left out {panoptic.image_file(image)}: no segments can be used")
    content = {
        **panoptic.content,
        "images": list(images.values()),
        "annotations": list(annotations.values()),
    }
    write_json(output / "panoptic.json", content)
    return changes


def _reason(panoptic: PanopticFile, image_id: Any, facts: SegmentFacts) -> str | None:
    """Why the segments of an image can't be used."""
    if facts.faults:
        return facts.faults[0][0]
    if image_id not in panoptic.images:
        return "its image is unknown"
    image = examine_image(panoptic.image_file(panoptic.images[image_id]))
    unusable = next((kind for kind, _ in image.faults if kind in UNUSABLE), None)
    return unusable or ("size-mismatch" if image.size != facts.size else None)


def _fixed(
    segment: dict[str, Any], used: set, panoptic: PanopticFile, facts: SegmentFacts
) -> tuple[dict[str, Any] | None, str]:
    """The segment as it should be, and what was done; None where it is left out."""
    area = facts.areas.get(segment["id"], 0)
    if not area:
        return None, "left out, without a pixel:"
    if segment["category_id"] not in panoptic.categories:
        return None, "left out, its category is unknown:"
    if segment["id"] in used:
        return None, "left out, the id was there before:"
    if segment.get("area") not in (None, area):
        return {**segment, "area": area}, "fixed the area of"
    return segment, ""
