#!/usr/bin/env python
"""The same as `segsuite convert`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["convert", *sys.argv[1:]])
