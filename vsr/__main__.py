"""Run the command line: `python -m vsr ...` is the command `vsr ...`."""

import sys

from vsr_cli import main

if __name__ == "__main__":
    sys.exit(main())
