#!/usr/bin/env python
"""The same as `segsuite analyze`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["analyze", *sys.argv[1:]])
