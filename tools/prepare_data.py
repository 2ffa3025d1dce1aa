#!/usr/bin/env python
"""The same as `segsuite prepare`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
