#!/usr/bin/env python
"""The same as `segsuite demo`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["demo", *sys.argv[1:]])
