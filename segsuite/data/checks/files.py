"""What the quick check finds in files, which are read again only where they have changed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from segsuite.errors import DataError

from ..cache import remember
from ..records import without_annotations

logger = logging.getLogger(__name__)

_SHOWN = 5
# Of what the quick check looks for in files: a change forgets what has been checked.
VERSION = 3


def faults_of_files(
    name: str,
    find: functools.partial[str | None],
    records: Sequence[dict],
    kind: str,
    anew: bool,
) -> list[str | None]:
    """What `find` says about each record, whose files are not read again while they are as they
    were when nothing was wrong with them."""
    return results_of_files(name, find, records, kind, anew, lambda fault: fault is None)


def results_of_files(
    name: str,
    examine: functools.partial,
    records: Sequence[dict],
    kind: str,
    anew: bool,
    is_right: Callable[[Any], bool],
) -> list[Any]:
    """What `examine` finds for each record, values of JSON; files are not read again while they are
    as they were when the result `is_right`."""
    images = without_annotations(records)
    checked = remember(examine, images, of=name, version=VERSION, keep=is_right, anew=anew)
    if checked.num_old:
        logger.info(
            "data set '%s': %d of %d %s were checked on %s and are unchanged: not read again "
            "(DATALOADER.CHECK_ANEW True reads them)",
            *(name, checked.num_old, len(records), kind, checked.when()),
        )
    return checked.results


def raise_faults(name: str, faults: Sequence[str | None], kind: str) -> None:
    """Raise an error with the first of the faults that there are.

    Args:
        faults: of each record, None where nothing is wrong.
    """
    found = [fault for fault in faults if fault]
    if found:
        more = f"\n... and {len(found) - _SHOWN} more files" if len(found) > _SHOWN else ""
        raise DataError(
            f"data set '{name}': {len(found)} of {len(faults)} {kind} can't be used:\n"
            + "\n".join(found[:_SHOWN])
            + more
        )
