"""Trains a tiny network, killed or stopped at random moments, and gone on with; by two, too.

    python tests/support/train_kills.py FOLDER FILM KILLS

FILM is one of a few seconds. Children are forks, so that PyTorch is loaded once; each uses one
thread. Ends with 0 when all weights are as they should be, and prints what it saw.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from vsr.cli.main import main as main_of_vsr
from vsr.errors import Interrupted, Stopped
from vsr.train.degrade.settings import read_damage
from vsr.train.loop import train
from vsr.train.options import DataOptions, LossOptions, ScheduleOptions, TrainOptions

STEPS = 24
STOPPED, INTERRUPTED = Stopped.exit_code, Interrupted.exit_code


def options(film: Path, batch: int = 4) -> TrainOptions:
    """Of a GAN with all that has a state; its batches are damaged together and mixed in a pool."""
    return TrainOptions(
        data=DataOptions(
            clean=(film,), clips=4, frames=2, window=128, area=96, patch=48, workers=2,
            held_out=0.3,
        ),
        damage=read_damage(changes={"per_sample": False, "pool": 8}),
        num_feat=4, num_block=1, disc_feat=4, stage="gan",
        loss=LossOptions(consistency=1.0, temporal=1.0),
        schedule=ScheduleOptions(steps=STEPS, batch=batch, save_every=3, check_every=5),
    )  # fmt: skip


def fork(work: object, *arguments: object) -> int:
    """A child that does `work` and ends; returns its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work(*arguments)  # type: ignore[operator]
        code = code if isinstance(code, int) else 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def digest(path: Path) -> str:
    tensors = load_file(path)
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors.values())).hexdigest()


def killed(folder: Path, film: Path, kills: int, seconds: float) -> str:
    """The weights' hash after `kills` kills, each somewhere in what one run takes."""
    chance = random.Random(7)
    output = folder / "killed.safetensors"
    count = 0
    while True:
        child = fork(train, options(film), output)
        if count < kills:
            time.sleep(chance.uniform(0.05, 0.6) * seconds / max(kills / 3, 1))
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            count += 1
            if status != -signal.SIGKILL:
                assert status == 0
                break  # was faster than the kill
        else:
            assert ended_well(child)
            break
    print(f"killed {count} times")
    return digest(output)


def by_command(film: Path, damage: Path, output: Path) -> int:
    """The same as `options`, by the command, whose exit code it returns."""
    line = f"""train {film} -o {output} --damage {damage} --clips 4 --frames 2 --window 128
    --area 96 --patch 48 --workers 2 --held-out 0.3 --num-feat 4 --num-block 1 --disc-feat 4
    --stage gan --consistency 1 --temporal 1 --steps {STEPS} --batch 4 --save-every 3
    --check-every 5 -q"""
    try:
        return main_of_vsr(line.split())
    except KeyboardInterrupt:  # before it has begun
        return INTERRUPTED


def stopped(folder: Path, film: Path, stops: int, seconds: float) -> set[str]:
    """The hashes of all weights that come out of runs, with `stops` stops altogether."""
    chance = random.Random(11)
    output, damage = folder / "stopped.safetensors", folder / "damage.toml"
    damage.write_text("per_sample = false\npool = 8\n")
    digests: set[str] = set()
    codes: Counter[int] = Counter()
    while codes.total() - codes[0] < stops or not output.exists():
        if output.exists():
            output.unlink()
            for path in output.with_suffix(".train").glob("*.ckpt"):
                path.unlink()
        child = fork(by_command, film, damage, output)
        if codes.total() - codes[0] < stops:
            time.sleep(chance.uniform(0.05, 0.6) * seconds)
            os.kill(child, chance.choice((signal.SIGINT, signal.SIGTERM)))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, STOPPED, INTERRUPTED, -signal.SIGTERM), code
        codes[code] += 1
        if code == 0:
            digests.add(digest(output))
    print(f"stopped, by exit code: {dict(sorted(codes.items()))}")
    return digests


def joined(folder: Path, film: Path, rank: int, world: int, name: str) -> None:
    """One of several processes that share a batch; pictures of their own damage, no pool."""
    if world > 1:
        store = f"file://{folder}/{name}.store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    batch = 4 // world
    own = dataclasses.replace(
        options(film, batch), damage=read_damage(), stage="net", loss=LossOptions(),
        schedule=ScheduleOptions(steps=15, batch=batch, check_every=100, save_every=100),
    )  # fmt: skip
    train(own, folder / f"{name}.safetensors")
    if world > 1:
        dist.destroy_process_group()


def shared(folder: Path, film: Path) -> float:
    """The largest difference between one process and two with half the batch each."""
    assert ended_well(fork(joined, folder, film, 0, 1, "one"))
    children = [fork(joined, folder, film, rank, 2, "two") for rank in range(2)]
    ends = [ended_well(child) for child in children]
    assert all(ends)
    one, two = (load_file(folder / f"{name}.safetensors") for name in ("one", "two"))
    return max(float((one[name] - two[name]).abs().max()) for name in one)


def member(folder: Path, film: Path, rank: int, name: str, store: str) -> None:
    """One of two processes, each with a pool of its own."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/{store}", rank=rank, world_size=2)
    own = dataclasses.replace(
        options(film, 2), schedule=ScheduleOptions(steps=12, batch=2, save_every=6),
    )  # fmt: skip
    train(own, folder / f"{name}.safetensors")
    dist.destroy_process_group()


def both(folder: Path, film: Path, name: str, kill: bool) -> str:
    """The weights' hash of two processes with pools; `kill`ed after their first checkpoint."""
    if kill:
        children = [fork(member, folder, film, rank, name, f"{name}0") for rank in range(2)]
        while not list((folder / f"{name}.train").glob("*.ckpt")):
            time.sleep(0.01)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    children = [fork(member, folder, film, rank, name, f"{name}1") for rank in range(2)]
    ends = [ended_well(child) for child in children]
    assert all(ends)
    return digest(folder / f"{name}.safetensors")


def main(folder: Path, film: Path, kills: int) -> int:
    """0 if everything is as it should be."""
    began = time.monotonic()
    assert ended_well(fork(train, options(film), folder / "whole.safetensors"))
    seconds = time.monotonic() - began
    whole = digest(folder / "whole.safetensors")
    again = killed(folder, film, kills, seconds)
    print(f"weights: {whole[:16]}, killed and gone on with: {again[:16]}")
    ends = stopped(folder, film, kills, seconds)
    print(f"stopped and gone on with: {', '.join(end[:16] for end in sorted(ends))}")
    apart = shared(folder, film)
    print(f"two processes differ from one by {apart:.2e}")
    pools = [both(folder, film, f"pools{kill:d}", kill) for kill in (False, True)]
    print(f"two with pools: {pools[0][:16]}, killed and gone on with: {pools[1][:16]}")
    same = {again, *ends} == {whole} and pools[0] == pools[1]
    return int(not same or apart > 1e-5)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
