"""`python vsr_cli.py ...` is the command `vsr ...`."""

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """The command. A signal ends it in one line also while its libraries are being loaded."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _too_early)
    # Read when PyTorch is loaded. Threads that wait for each other busily keep the ones they
    # wait for from the processor when other programs want it, too; where none does, nothing is
    # lost.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vsr.cli import main as run

    code = run()
    for name in ("SIGINT", "SIGTERM"):  # it is done, and said
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    return code


def _too_early(number: int, frame: FrameType | None) -> None:
    # An exception could be taken by the library that is being loaded for a fault of its own.
    os.write(2, b"vsr: interrupted; nothing was begun\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
