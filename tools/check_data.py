#!/usr/bin/env python
"""The same as `segsuite check`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
