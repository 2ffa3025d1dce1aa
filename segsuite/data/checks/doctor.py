"""The thorough examination of data sets: every file is read to its end."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm

from segsuite.config import CfgNode
from segsuite.errors import DataError

from ..build import get_records
from ..cache import read_in_parallel
from ..catalog import DatasetCatalog, Metadata, MetadataCatalog
from ..datasets.folder import UnpairedFilesError
from ..image import ImageReader
from ..sem_seg import IGNORE_LABEL
from .annotations import report_annotations
from .class_names import report_class_names
from .coco import CocoFile, report_coco
from .duplicates import report_duplicates
from .images import ImageFacts, examine_image
from .instances import check_records_annotations
from .panoptic import PanopticFile, examine_segments, report_panoptic
from .pixels import report_pixels
from .refusals import report_refusals
from .report import Report
from .semantic import examine_label_map, report_label_maps


def examine_datasets(
    names: Sequence[str], reader: ImageReader | None = None, cfg: CfgNode | None = None
) -> Report:
    """Examine data sets, each by itself and for images that several of them share.

    Data sets in COCO's formats are examined as such, others by the images, label maps and
    annotations of their records. What is wrong with the data ends up in the report, nothing is
    raised for it.

    Args:
        names: registered data sets, such as the splits for training and evaluation.
        reader: that a model gets its images from; None: any bands that can be read.
        cfg: that they are used with; its numbers of classes are compared with theirs, and what it
            would refuse to train on is an error.

    Raises:
        UnknownNameError: an unknown data set.
    """
    report = Report()
    images: dict[str, list[ImageFacts]] = {}
    for name in names:
        try:
            images[name] = _examine(name, report, reader or ImageReader())
            _report_refusal(name, report)
        except (OSError, DataError) as e:
            report.add(name, "dataset-unreadable", name, str(e))
    kinds = {name: MetadataCatalog.get(name).get("evaluator_type") for name in images}
    report_duplicates(images, kinds, report)
    report_class_names(list(images), cfg, report)
    if cfg is not None:
        report_refusals(list(images), cfg, report)
    return report


def _report_refusal(name: str, report: Report) -> None:
    """Add what the check before training finds, where nothing tells of an error yet."""
    if report.has_errors(name):
        return
    try:
        records = get_records(name)
        if MetadataCatalog.get(name).get("json_file") is None:
            check_records_annotations(name, [r for r in records if r.get("annotations")])
    except (OSError, DataError) as e:
        report.add(name, "dataset-refused", name, str(e))


def _examine(name: str, report: Report, reader: ImageReader) -> list[ImageFacts]:
    metadata = MetadataCatalog.get(name)
    json_file, panoptic_json = (metadata.get(k) for k in ("json_file", "panoptic_json"))
    if json_file is not None or panoptic_json is not None:
        return _examine_coco(name, metadata, report, reader)
    records = []
    for number, record in enumerate(list_records(name, report)):
        if isinstance(record, Mapping) and record.get("file_name"):
            records.append(record)
        else:
            report.add(name, "file-name-missing", f"record {number} (from 0)")
    images = _examine_images(name, [record["file_name"] for record in records], report, reader)
    labelled = [record for record in records if record.get("sem_seg_file_name") is not None]
    if labelled and metadata.get("stuff_classes") is None:
        report.add(name, "not-examined", f"{len(labelled)} label maps", "no stuff_classes are set")
    elif labelled:
        _examine_label_maps(name, metadata, labelled, images, report)
    annotated = [record for record in records if record.get("annotations") is not None]
    if annotated:
        report_annotations(name, metadata, annotated, images, report)
    _report_not_examined(name, records, report)
    return list(images.values())


def _report_not_examined(name: str, records: Sequence[dict], report: Report) -> None:
    """Add what of records there is no examination for."""
    panoptic = sum("pan_seg_file_name" in record for record in records)
    if panoptic:
        detail = "those of a JSON file are"
        report.add(name, "not-examined", f"panoptic segmentations of {panoptic} records", detail)
    keys = ("annotations", "sem_seg_file_name", "pan_seg_file_name")
    alone = sum(all(record.get(key) is None for key in keys) for record in records)
    if alone:
        where = f"{alone} of {len(records)} records"
        report.add(name, "not-examined", where, "they have neither annotations nor labels")


def _examine_label_maps(
    name: str,
    metadata: Metadata,
    labelled: Sequence[dict],
    images: Mapping[str, ImageFacts],
    report: Report,
) -> None:
    examine = functools.partial(
        examine_label_map,
        label_map=metadata.get("label_map"),
        num_classes=len(metadata.semantic_labels()),
        ignore_label=metadata.get("ignore_label", IGNORE_LABEL),
    )
    label_files = [record["sem_seg_file_name"] for record in labelled]
    maps = list(_with_bar(read_in_parallel(examine, label_files), labelled, f"{name} labels"))
    sizes = {file_name: facts.size for file_name, facts in images.items()}
    pairs = [(record["file_name"], facts) for record, facts in zip(labelled, maps, strict=True)]
    report_label_maps(name, metadata, sizes, pairs, report)


def _examine_coco(
    name: str, metadata: Metadata, report: Report, reader: ImageReader
) -> list[ImageFacts]:
    """A data set with a JSON file of instances, of panoptic segments, or one of each."""
    coco = panoptic = None
    if metadata.get("json_file") is not None:
        coco = CocoFile(metadata.json_file, metadata.image_root)
    if metadata.get("panoptic_json") is not None:
        panoptic = PanopticFile(metadata.panoptic_json, metadata.image_root, metadata.panoptic_root)
    files = dict.fromkeys(
        file.image_file(image)
        for file in (coco, panoptic)
        if file is not None
        for image in file.content["images"]
    )
    images = _examine_images(name, list(files), report, reader)
    if coco is not None:
        report_coco(name, coco, images, report, with_classes=panoptic is None)
    if panoptic is not None:
        pngs = [panoptic.segments_file(a) for a in panoptic.content["annotations"]]
        segments = _with_bar(read_in_parallel(examine_segments, pngs), pngs, f"{name} segments")
        report_panoptic(name, panoptic, images, list(segments), report)
    return list(images.values())


def list_records(name: str, report: Report) -> list[dict]:
    """The records of a data set, without the images and label maps that are alone."""
    try:
        return DatasetCatalog.get(name)
    except UnpairedFilesError as e:
        for file_name in e.images:
            report.add(name, "image-without-labels", file_name)
        for file_name in e.label_maps:
            report.add(name, "labels-without-image", file_name)
        return e.records


def _examine_images(
    name: str, files: list[str], report: Report, reader: ImageReader
) -> dict[str, ImageFacts]:
    examine = functools.partial(examine_image, reader=reader)
    facts = list(_with_bar(read_in_parallel(examine, files), files, f"{name} images"))
    report_pixels(name, [f.pixels for f in facts if f.pixels is not None], reader, report)
    for of_this in facts:
        for kind, detail in of_this.faults:
            report.add(name, kind, of_this.file_name, detail)
    return dict(zip(files, facts, strict=True))


def _with_bar(iterator: Iterator, items: Sequence, title: str) -> tqdm:
    return tqdm(iterator, total=len(items), desc=title, file=sys.stderr, disable=None)
