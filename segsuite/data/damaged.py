"""The error about a file that begins as it should and can't be read to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from segsuite.errors import DataError, UserError


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


@contextmanager
def decoding(name: object) -> Iterator[None]:
    """A context for calls of a decoder, which raises errors of any type where a file is damaged.

    Raises:
        DamagedFileError: the decoder raised something else than a `UserError`.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise damaged(name, error) from None
