"""What training with a configuration refuses, for the examination of its data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from segsuite.config import CfgNode
from segsuite.errors import UserError

from ..build import get_training_records
from ..catalog import MetadataCatalog
from .amounts import LabelAmounts, check_classes_labelled
from .quick import check_instance_dataset
from .report import Report


def report_refusals(names: Sequence[str], cfg: CfgNode, report: Report) -> None:
    """Add what would end a training though no file is damaged: no object to learn, no mask where
    masks are trained, pixels of one label for a sigmoid.

    Args:
        names: of data sets that have been examined; those with errors are passed over.
        cfg: that they are used with.
    """
    sound = [name for name in names if not report.has_errors(name)]
    training = list(dict.fromkeys(cfg.DATASETS.TRAIN))
    for name in sound:
        if name in training or name in cfg.DATASETS.TEST:
            try:
                _check_objects(name, cfg, is_train=name in training)
            except UserError as e:
                report.add(name, "dataset-refused", name, str(e))
    if training and set(training) <= {name for name in sound if not report.has_errors(name)}:
        try:
            get_training_records(cfg)
            if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 1:
                _check_labels(training, report)
        except UserError as e:
            report.add(training[0], "dataset-refused", training[0], str(e))


def _check_objects(name: str, cfg: CfgNode, *, is_train: bool) -> None:
    things = MetadataCatalog.get(name).get("thing_classes")
    if things is not None:
        check_instance_dataset(
            name,
            num_classes=len(things),
            use_masks=cfg.MODEL.MASK_ON and not (is_train and cfg.INPUT.MASKS_FROM_BOXES),
            read_images=False,
            for_training=is_train,
        )


def _check_labels(names: list[str], report: Report) -> None:
    """That a sigmoid has pixels of both labels to learn."""
    amounts = LabelAmounts()
    for name in names:
        metadata, found = MetadataCatalog.get(name), report.statistics.get(name)
        if found is None or metadata.get("stuff_classes") is None or metadata.get("thing_classes"):
            return
        pixels = {i: row["amount"] for i, row in enumerate(found["classes"])}
        amounts += LabelAmounts(Counter(pixels), found["images"])
    check_classes_labelled(amounts, names, 1, for_training=True)
