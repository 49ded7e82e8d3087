"""`python vsr_cli.py ...` is the command `vsr ...`."""

import sys

from vsr.cli import main

if __name__ == "__main__":
    sys.exit(main())
