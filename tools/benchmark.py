#!/usr/bin/env python
"""The same as `segsuite benchmark`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["benchmark", *sys.argv[1:]])
