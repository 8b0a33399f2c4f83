"""`python -m batchmod`."""

import sys

from batchmod.cli import main

if __name__ == "__main__":
    sys.exit(main())
