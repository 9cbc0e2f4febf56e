"""`python -m minigrad`, and the console script `minigrad`."""

import sys

from minigrad.cli import main

if __name__ == "__main__":
    sys.exit(main())
