#!/usr/bin/env python
"""The same as `segsuite plot`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["plot", *sys.argv[1:]])
