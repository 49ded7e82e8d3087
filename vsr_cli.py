"""`python vsr_cli.py ...` is the command `vsr ...`."""

import os
import sys

_TOO_EARLY = b"vsr: interrupted; nothing was begun, and what earlier runs finished is kept\n"


def main() -> int:
    """Run the command; returns its exit code.

    Signals end it in one line from here on: also while its libraries are being loaded, and
    while the interpreter comes to its end.
    """
    try:
        import signal

        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # One that was ignored when the program began stays so, as `nohup` asks for.
        obeyed = [n for n in wanted if signal.getsignal(n) != signal.SIG_IGN]
        for number in obeyed:
            signal.signal(number, _too_early)
    except KeyboardInterrupt:
        _too_early()
    # Read when PyTorch is loaded. Threads that wait for each other busily keep the ones they
    # wait for from the processor when other programs want it, too; where none does, nothing is
    # lost.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vsr.cli import main as run

    code = run()
    for number in obeyed:  # it is done, and said
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return code


def _too_early(*signalled: object) -> None:
    # An exception could be taken by the library that is being loaded for a fault of its own.
    os.write(2, _TOO_EARLY)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
