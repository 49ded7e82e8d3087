"""Runs the command line in children whose surroundings are odd.

A process that has imported everything, and forks: what is odd need not reach the interpreter.
It reads a request as a line of JSON and answers with one.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import vsr_cli
from tests.support.commands import load_everything

# With all that they import, before anything is forked.
load_everything()


def _child(request: dict[str, Any], out: str, err: str) -> int:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, out), (2, err)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    exec(request["first"], {"os": os, "sys": sys})
    sys.argv = ["vsr", *request["arguments"]]
    return vsr_cli.main()


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        out, err = request["out"], request["err"]
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = _child(request, out, err)
                if sys.stdout is not None:
                    sys.stdout.flush()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"code": code}), flush=True)
