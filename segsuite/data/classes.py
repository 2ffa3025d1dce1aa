"""The classes of data sets that are used together, compared by name."""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence

from segsuite.errors import ConfigError

from .catalog import DatasetCatalog, MetadataCatalog
from .palette import default_colors

logger = logging.getLogger(__name__)


class Agreement(enum.Enum):
    """How two lists of classes go together."""

    SAME = "same"
    REORDERED = "the same classes in another order"
    DIFFERENT = "other classes"


def compare_classes(first: Sequence[str], second: Sequence[str]) -> Agreement:
    """Compare two lists of class names; of one with a name twice the order can't be told."""
    if list(first) == list(second):
        return Agreement.SAME
    if sorted(first) == sorted(second) and len(set(first)) == len(first):
        return Agreement.REORDERED
    return Agreement.DIFFERENT


def align_classes(names: Sequence[str]) -> None:
    """Bring the classes of data sets that one model is used with into one order, that of the first.

    A data set whose file lists the same classes of objects in another order is read in that of the
    first from now on, with a warning: class k is the same thing in all of them.

    Args:
        names: of registered data sets.

    Raises:
        ConfigError: they have other classes of objects, or the order of one can't be changed.
        MissingFileError, DataError: a data set can't be read.
    """
    for name in names:
        DatasetCatalog.open(name)  # files tell the names of classes when they are read
    for key in ("thing_classes", "stuff_classes"):
        having = [name for name in names if MetadataCatalog.get(name).get(key) is not None]
        for name in having[1:]:
            _align(having[0], name, key)


def _align(leader: str, name: str, key: str) -> None:
    classes, own = (list(MetadataCatalog.get(n).get(key)) for n in (leader, name))
    agreement = compare_classes(classes, own)
    if agreement is Agreement.SAME:
        return
    if agreement is Agreement.REORDERED:
        _reorder(leader, classes, name, own)
    elif key == "thing_classes":
        raise ConfigError(describe_difference(leader, classes, name, own))
    elif len(classes) == len(own):  # other numbers are not those of the model
        logger.warning("%s", describe_difference(leader, classes, name, own))


def describe_difference(
    first_name: str, first: Sequence[str], second_name: str, second: Sequence[str]
) -> str:
    """What to say about two data sets of other classes: both lists, and what only one has."""
    parts = [
        f"data sets '{first_name}' and '{second_name}' have other classes, but class k of one "
        "model has to be the same in both:",
        f"  '{first_name}' has {len(first)}: {_listed(first)}",
        f"  '{second_name}' has {len(second)}: {_listed(second)}",
    ]
    for name, own, other in ((first_name, first, second), (second_name, second, first)):
        alone = [c for c in own if c not in other]
        if alone:
            parts.append(f"  only '{name}' has {_listed(alone)}")
    parts.append(
        "List the same categories in both files, in each also those that it has no object of"
    )
    return "\n".join(parts)


def _listed(classes: Sequence[str], most: int = 100) -> str:
    more = f", ... and {len(classes) - most} more" if len(classes) > most else ""
    return ", ".join(classes[:most]) + more


def _reorder(leader: str, classes: list[str], name: str, own: list[str]) -> None:
    metadata = MetadataCatalog.get(name)
    lists = f"'{leader}' has {_listed(classes)}; '{name}' has {_listed(own)}"
    categories = metadata.get("thing_dataset_id_to_contiguous_id")
    if not metadata.get("can_reorder_classes", False) or categories is None:
        raise ConfigError(
            f"data sets '{leader}' and '{name}' have the same classes in another order, but class "
            f"k of one model has to be the same in both: {lists}. Number them alike"
        )
    logger.warning(
        "data sets '%s' and '%s' list the same classes in another order and are matched by name: "
        "'%s' is read in the order of '%s' (%s)",
        *(leader, name, name, leader, lists),
    )
    places = [own.index(class_name) for class_name in classes]
    facts = {
        key: [metadata.get(key)[place] for place in places]
        for key in ("thing_colors", "class_image_count")
        if metadata.get(key) is not None
    }
    if metadata.get("thing_colors") == default_colors(len(own)):
        facts["thing_colors"] = metadata.thing_colors
    metadata.replace(
        class_order=classes,
        thing_classes=classes,
        thing_dataset_id_to_contiguous_id={c: places.index(k) for c, k in categories.items()},
        **facts,
    )
