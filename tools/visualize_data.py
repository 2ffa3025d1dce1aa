#!/usr/bin/env python
"""The same as `segsuite look`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["look", *sys.argv[1:]])
