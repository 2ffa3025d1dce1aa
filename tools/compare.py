#!/usr/bin/env python
"""The same as `segsuite compare`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
