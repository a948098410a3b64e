"""`python -m mpvn.cli` is the command `mpvn`."""

import sys

from mpvn.cli import main

if __name__ == "__main__":
    sys.exit(main())
