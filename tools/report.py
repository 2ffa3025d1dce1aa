#!/usr/bin/env python
"""The same as `segsuite report`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
