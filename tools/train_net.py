#!/usr/bin/env python
"""The same as `segsuite train`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
