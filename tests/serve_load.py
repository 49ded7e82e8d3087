"""Many clients at once: `python -m tests.serve_load [CLIENTS JOBS SLOTS]`, by default 50, 200, 2.

Each client takes jobs on, looks at them until they have ended, and compares the result with that
of the command line; each is another part of the film, so that two that are mixed up are seen.
Prints the 95th percentile of `GET /v1/jobs/{id}` meanwhile, and the server's memory.
Some ten minutes on two cores.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import SAMPLES
from tests.support.server import ENDED, Server, serving

_PARTS = 20  # different jobs


def _input(part: int) -> dict[str, object]:
    return {"source": "bunny.mp4", "model": "bicubic", "scale": 2,
            "clip": [f"{part}f-{part + 2}f"]}  # fmt: skip


def _expected(film: Path, folder: Path) -> list[str]:
    """Return the digest of each part, as the command line makes it."""
    found = []
    for part in range(_PARTS):
        out = folder / str(part)
        out.mkdir(parents=True)
        words = f"-m bicubic --scale 2 --clip {part}f-{part + 2}f"
        subprocess.run(
            [sys.executable, "-m", "vsr", "upscale", str(film), "-o", f"{out}/", *words.split()],
            check=True, capture_output=True,
        )  # fmt: skip
        (result,) = out.iterdir()
        found.append(hashlib.sha256(result.read_bytes()).hexdigest())
    return found


def _memory(server: Server) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    found = re.search(r"^vsr_memory_bytes (\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1e6


def _client(
    server: Server, parts: list[int], expected: list[str]
) -> tuple[list[float], Counter[str]]:
    """Return how long each look took, and what became of the jobs."""
    looks: list[float] = []
    became: Counter[str] = Counter()
    ids = [(part, server.job(_input(part))["id"]) for part in parts]
    for part, id in ids:
        while True:
            begin = time.perf_counter()
            job = server.ask("GET", f"/v1/jobs/{id}").json
            looks.append(time.perf_counter() - begin)
            if job["status"] in ENDED:
                break
            time.sleep(1.0)
        if job["status"] != "succeeded":
            became[job["status"]] += 1
            continue
        digest = hashlib.sha256(server.ask("GET", job["output"]).body).hexdigest()
        became["right" if digest == expected[part] else "mixed up"] += 1
    return looks, became


def main(clients: str = "50", jobs: str = "200", slots: str = "2") -> int:
    """Run it; returns 0 where all jobs came out right."""
    count, total = int(clients), int(jobs)
    devices = ["--device", "auto"] * int(slots)
    with (
        tempfile.TemporaryDirectory(prefix="vsr-") as name,
        serving(Path(name), *devices) as server,
    ):
        shutil.copy(SAMPLES / "bunny.mp4", server.roots)
        expected = _expected(server.roots / "bunny.mp4", Path(name) / "own")
        before, begin = _memory(server), time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            shares = [[n % _PARTS for n in range(i, total, count)] for i in range(count)]
            found = list(pool.map(lambda share: _client(server, share, expected), shares))
        seconds = time.monotonic() - begin
        looks = sorted(look for some, _ in found for look in some)
        became = sum((counter for _, counter in found), Counter[str]())
        p50, p95 = statistics.median(looks), looks[int(len(looks) * 0.95)]
        print(f"{total} jobs of {count} clients in {seconds:.0f} s: {dict(became)}")
        print(f"GET /v1/jobs/{{id}}: {len(looks)} times, median {p50 * 1e3:.1f} ms, "
              f"p95 {p95 * 1e3:.1f} ms, longest {looks[-1] * 1e3:.0f} ms")  # fmt: skip
        print(f"memory of the server: {before:.1f} MB before, {_memory(server):.1f} MB after")
        return 0 if became == {"right": total} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
