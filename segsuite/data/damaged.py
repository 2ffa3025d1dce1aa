"""The error about a file that begins as it should and can't be read to its end."""

from __future__ import annotations

from segsuite.errors import DataError


class DamagedFileError(DataError):
    """A file is cut short, or damaged in another way."""


def damaged(name: object, why: object) -> DamagedFileError:
    """The error for a file.

    Args:
        name: of the file.
        why: what the decoder said.
    """
    return DamagedFileError(
        f"{name} can't be decoded: {why}. The file is cut short or damaged; copy it again or leave "
        "it out of the data set"
    )
