#!/usr/bin/env python
"""The same as `segsuite predict`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
