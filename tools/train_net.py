#!/usr/bin/env python
"""The same as `segsuite train`."""

import sys

from segsuite.cli import main

if __name__ == "__main__":
<<<<<<< HEAD
    parser = default_argument_parser()
    parser.description = __doc__
    parser.epilog = EPILOG + (parser.epilog or "")
    args = parser.parse_args()
    launch(main, args.num_gpus, (args,))
=======
    main(["train", *sys.argv[1:]])
>>>>>>> 30a1f91 (The command segsuite, and the distribution segsuite-torch with recipes and extension in one wheel)
