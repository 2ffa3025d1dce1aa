"""Where the command ``segsuite`` begins.

It is not in the package `segsuite`, since an unrelated distribution called "segsuite" has a package
of the same name: pip lets it overwrite ours, or be overwritten, without a word.
"""

from __future__ import annotations

import sys
from importlib import metadata

_ADVICE = (
    'the distribution "segsuite" is another project whose package has the same name as ours, '
    '"segsuite-torch": pip uninstall segsuite && pip install --force-reinstall --no-deps '
    "segsuite-torch"
)


def namesake() -> str | None:
    """What to do when the other distribution is installed beside ours, else None."""
    try:
        files = metadata.distribution("segsuite").files or []
    except metadata.PackageNotFoundError:
        return None
    return _ADVICE if "segsuite/__init__.py" in map(str, files) else None


def main() -> None:
    """The command ``segsuite``."""
    advice = namesake()
    if advice is not None:
        print(f"error: {advice}", file=sys.stderr)
        sys.exit(2)
    from segsuite.cli import main as segsuite_main

    segsuite_main()
