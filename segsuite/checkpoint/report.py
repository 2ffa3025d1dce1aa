"""`LoadReport`: what became of the tensors of a file, and how that is told."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from segsuite.errors import WeightsError

from .tables import group_names, table

logger = logging.getLogger(__name__)

Rows = list[tuple[str, ...]]


@dataclass
class LoadReport:
    """Names of tensors, as `load_weights` found them.

    Attributes:
        loaded: taken from the file as they are.
        missing: the model's, but not in the file.
        unexpected: in the file, but not the model's, or not used.
        carried: of another class list, every row taken from the file by its class's name.
        reinitialized: of another class list, with rows left at their initial values.
        source: the library the file came from, if its names were converted; else "".
        differing: settings of the configuration that weights do not show, and in which the file's
            network and the model differ: (key, the file's value, the model's). With them the model
            does not compute what the file's network does.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    carried: list[str] = field(default_factory=list)
    reinitialized: list[str] = field(default_factory=list)
    source: str = ""
    differing: list[tuple[str, str, str]] = field(default_factory=list)

    def check_complete(self, file: Collection[str], own: Collection[str], label: str) -> None:
        """Refuse what is missing or unexpected.

        Args:
            file, own: names in the file and in the model.
            label: the file, for the message.

        Raises:
            WeightsError: something is.
        """
        missing = table(group_names(self.missing, own))
        unexpected = table(group_names(self.unexpected, file))
        if missing or unexpected:
            raise WeightsError(
                f"{label} does not fit the model. Missing from the file:\n"
                f"{missing or '  nothing'}\nNot in the model:\n{unexpected or '  nothing'}"
            )

    def tell(self, file: Collection[str], own: Collection[str], resized: Rows, label: str) -> None:
        """Log it.

        Args:
            resized: rows (name, classes in the file, in the model, taken over).
        """
        kind = f" ({self.source}, converted)" if self.source else ""
        logger.info("%d of %d tensors loaded from %s%s", len(self.loaded), len(own), label, kind)
        if resized:
            logger.warning(
                "Of other classes in %s; rows were taken over by class name, the others are left "
                "at their initial values:\n%s",
                label,
                table([("name", "file", "model", "taken over"), *resized]),
            )
        if self.differing:
            logger.warning(
                "The weights in %s are used with other settings than the model has, which neither "
                "their names nor their shapes show: it does not compute the same. Set these keys "
                "to the file's values, unless you mean to train on from there:\n%s",
                label,
                table([("key", "file", "model"), *self.differing]),
            )
        if self.missing:
            rows = group_names(self.missing, own)
            logger.warning("Not in %s, left at their initial values:\n%s", label, table(rows))
        if self.unexpected:
            rows = group_names(self.unexpected, file)
            logger.warning("In %s but not in the model, not used:\n%s", label, table(rows))
