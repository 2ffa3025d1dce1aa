"""``python -m segsuite``: the command ``segsuite``."""

from segsuite.cli import main

main()
