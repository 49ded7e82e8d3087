"""Runs what another script does; what vsr says is wrong is one line, as of its commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

from vsr.errors import VsrError


def run_script(main: Callable[[], object]) -> None:
    """Call `main`; ends the process with the exit code of a VsrError."""
    try:
        main()
    except VsrError as error:
        print(f"{sys.argv[0]}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        sys.exit(error.exit_code)
