"""The comparison of the classes of data sets, and of those with a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from segsuite.config import CfgNode, get_cfg

from ..catalog import MetadataCatalog
from ..classes import Agreement, compare_classes, describe_difference
from .report import Report


def report_class_names(names: Sequence[str], cfg: CfgNode | None, report: Report) -> None:
    """Add data sets of other classes than the first that has any of that kind, and numbers of
    classes in a configuration that are not those of its data sets.

    Args:
        names: of data sets that have been read.
        cfg: that they may be used with.
    """
    used = [] if cfg is None else [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    for key in ("thing_classes", "stuff_classes"):
        having = [name for name in names if MetadataCatalog.get(name).get(key) is not None]
        for name in having[1:]:
            together = having[0] in used and name in used and key == "thing_classes"
            _compare(having[0], name, key, "error" if together else "warning", report)
    if cfg is not None:
        for name in names:
            if name in used:
                _compare_number(name, cfg, report)


def _compare(leader: str, name: str, key: str, severity: str, report: Report) -> None:
    classes, own = (MetadataCatalog.get(n).get(key) for n in (leader, name))
    agreement = compare_classes(classes, own)
    if agreement is Agreement.DIFFERENT:
        detail = describe_difference(leader, classes, name, own)
        report.add(name, "classes-differ", name, detail, severity=severity)
    elif agreement is Agreement.REORDERED:
        can = MetadataCatalog.get(name).get("can_reorder_classes", False)
        where = f"{', '.join(own)}; '{leader}' has {', '.join(classes)}"
        report.add(name, "classes-reordered", name, where, severity="" if can else "error")


def _compare_number(name: str, cfg: CfgNode, report: Report) -> None:
    metadata = MetadataCatalog.get(name)
    for key, facts in (
        ("ROI_HEADS", metadata.get("thing_classes")),
        ("SEM_SEG_HEAD", metadata.get("stuff_classes")),
    ):
        number = cfg.MODEL[key].NUM_CLASSES
        if facts is not None and len(facts) != number:
            detail = f"MODEL.{key}.NUM_CLASSES is {number}; set it to {len(facts)}"
            # A configuration that leaves it alone may be one of data sets, without a model.
            is_set = number != get_cfg().MODEL[key].NUM_CLASSES
            severity = "error" if is_set else "warning"
            report.add(name, "num-classes", f"{len(facts)} classes", detail, severity=severity)
