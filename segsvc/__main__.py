"""``python -m segsvc``."""

import sys

from segsvc.cli import main

if __name__ == "__main__":
    sys.exit(main())
