"""The process that speaks with Ray for a run.

Ray ends a driver that has lost its cluster, prints what it likes and takes signals over; so it is
a process by itself. When it ends, however it ends, Ray ends its workers. Its standard input is a
request, then perhaps a line to stop; its answers are those of a worker, and `segment`, `stopped`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from vsr.errors import VsrError
from vsr.runners.process import answers_alone
from vsr.runners.ray.cluster import connected
from vsr.runners.ray.hand_out import HandOut
from vsr.runners.ray.look import looked

_JOINING = 60.0  # seconds; Ray itself would try for many minutes


def main() -> None:
    """Carry out one request."""
    answers = answers_alone()
    if not os.environ.get("VSR_DEBUG"):  # Ray prints what it hears of its nodes
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
    stopping = threading.Event()

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def listen() -> None:
        if sys.stdin.readline():
            stopping.set()

    def give_up() -> None:
        say(error="UsageError", text=f"<device.cluster> {address}: does not answer")
        os._exit(1)

    request = json.loads(sys.stdin.readline())
    address = request["address"]
    threading.Thread(target=listen, daemon=True).start()
    joining = threading.Timer(_JOINING, give_up)
    joining.daemon = True
    joining.start()
    try:
        with connected(address):
            joining.cancel()
            if "look" in request:
                say(nodes=looked(request))
                return
            HandOut(request, say, stopping).run()
    except VsrError as error:
        say(error=type(error).__name__, text=error.text)
    except Exception as error:  # Ray's own, of a cluster that is going
        said = next(iter(str(error).strip().splitlines()), "")
        say(error="Stopped", text=f"<device.cluster>: was lost ({type(error).__name__}: {said})")
    else:
        say(**({"stopped": True} if stopping.is_set() else {"done": True}))
