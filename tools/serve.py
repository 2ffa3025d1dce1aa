#!/usr/bin/env python
"""The same as `segsuite serve`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
