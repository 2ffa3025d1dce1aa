#!/usr/bin/env python
"""The same as `segsuite convert-data`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["convert-data", *sys.argv[1:]])
