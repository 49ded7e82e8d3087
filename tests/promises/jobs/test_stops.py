"""Ctrl-C, SIGTERM and closed terminals: what is finished is kept, and the way on is said."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.promises.jobs.test_kill import KILLS, finished_parts, told
from tests.support import judge
from tests.support.jobs import ROOT, Run
from vsr.cli.graceful_stop import for_shell
from vsr.jobs.store.job_store import folder_of


@pytest.mark.parametrize("kind", ["cfr", "vfr", "gif"])
def test_stopped_at_any_moment(
    films: dict[str, tuple[Path, str]], run: Run, tmp_path: Path, kind: str
) -> None:
    source, suffix = films[kind]
    reference = tmp_path / f"reference{suffix}"
    run(source, reference)
    expected = told(reference)
    dice = random.Random(kind)
    stopped = 0
    while stopped < KILLS // 3:
        output = tmp_path / f"out{stopped}{suffix}"
        for _ in range(40):
            before = finished_parts(output)
            signals = [(dice.choice((signal.SIGINT, signal.SIGTERM)), dice.uniform(0.05, 0.5))]
            if dice.random() < 0.3:  # once more: now
                signals.append((signals[0][0], dice.uniform(0, 0.1)))
            answer = run(source, output, signals=signals)
            assert answer["code"] in (0, 6, 130), answer
            assert "Traceback" not in answer["err"]
            assert "error" not in answer["err"]
            if output.exists():
                break
            stopped += 1
            kept = finished_parts(output)
            assert before <= kept
            assert (answer["code"] == 6) <= bool(kept), answer
            if kept != before or answer["code"] == 6:
                assert f"vsr jobs resume {output}" in answer["err"], answer
            elif kept:  # before the work began; whose result's name may not be settled yet
                assert " is kept" in answer["err"], answer
            else:
                assert "nothing" in answer["err"], answer
            assert kept or not folder_of(output).exists()
        else:
            run(source, output)
        assert told(output) == expected
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []
        output.unlink()


@pytest.mark.timeout(1500 if "VSR_KILLS" in os.environ else 300)
@pytest.mark.parametrize("how", ["raised", "swallowed"])
@pytest.mark.parametrize("kind", ["film", "jobs"])
def test_a_signal_at_each_line_of_the_command(
    films: dict[str, tuple[Path, str]], run: Run, tmp_path: Path, kind: str, how: str
) -> None:
    """Also where its end is being said, and where a library swallows the interrupt."""
    source, _ = films["cfr"]
    numbers = itertools.cycle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    arguments = {} if kind == "film" else {"arguments": ["jobs", "list", str(tmp_path)]}
    every = 1 if "VSR_KILLS" in os.environ else {"film": 40, "jobs": 2}[kind]
    for line in range(1, 1000, every):
        output = tmp_path / f"out{line}.mp4"
        answer = run(
            source, output, signals=[], line=line, number=next(numbers), how=how,
            **arguments,
        )  # fmt: skip
        ended = (line, answer)
        assert answer["code"] in (0, 6, 130), ended
        assert "Traceback" not in answer["err"], ended
        assert "ignored" not in answer["err"], ended  # as Python says of what was swallowed
        kept = finished_parts(output)
        if answer["code"]:
            assert len([text for text in answer["err"].splitlines() if "vsr: " in text]) >= 1, ended
            assert (answer["code"] == 6) <= bool(kept), ended
        assert output.exists() or kept or not folder_of(output).exists(), ended
        if line > 20 and "interrupted" not in answer["err"] and "stop" not in answer["err"]:
            break  # it was done before so many lines
    else:
        raise AssertionError("the command has more lines than the test tries")
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".vsr-")] == []


def test_a_second_signal_does_not_disturb_the_tidying_up_of_the_first(
    run: Run, tmp_path: Path
) -> None:
    """Of a run that keeps nothing: a hurried user, or a manager that signals all processes."""
    source = judge.make(tmp_path / "in.png", "testsrc2=s=64x48:r=1:d=1")
    output = tmp_path / "out.png"
    arguments = ["upscale", str(source), "-o", str(output), "-m", "bicubic", "--overwrite"]
    dice = random.Random(5)
    for moment in range(16):
        first, second = dice.choices((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), k=2)
        signals = [(first, 0.01 + 0.01 * moment), (second, dice.uniform(0, 0.01))]
        answer = run(source, output, signals=signals, arguments=arguments)
        assert answer["code"] in (0, 130), answer
        assert answer["code"] == 0 or "vsr: interrupted; nothing" in answer["err"], answer
        assert "Traceback" not in answer["err"]
        assert {path.name for path in tmp_path.iterdir()} <= {"in.png", "out.png"}


def cli(*arguments: str | Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "vsr_cli.py"), *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env=_environment(home) | variables,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_and_the_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    source = judge.make(
        tmp_path / "film.mp4", "testsrc2=s=96x56:r=24:d=4", "-c:v", "libx264", "-g", "6",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip
    output = tmp_path / "out.mp4"
    command = [
        "upscale",
        source,
        "-o",
        output,
        "-s",
        "2",
        "--segment",
        "0.25",
        "--preset",
        "ultrafast",
    ]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vsr_cli.py"), *map(str, command)],
        stderr=subprocess.PIPE, text=True,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip
    store = folder_of(output)
    deadline = time.monotonic() + 100
    while len(list(store.glob("[0-9]*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 8
    assert process.returncode == 6, err
    assert f"vsr jobs resume {output}" in err
    assert "Traceback" not in err
    done = len(list(store.glob("[0-9]*.json")))
    assert done >= 2

    listed = cli("jobs", "list", home=tmp_path).stdout
    assert f"{output}: stopped, {done} of 16 segments" in listed
    status = json.loads(cli("jobs", "status", output, "--json", home=tmp_path).stdout)
    assert (status["state"], status["done"], status["parts"]) == ("stopped", done, 16)
    if number == signal.SIGTERM:
        removed = cli("jobs", "remove", output, home=tmp_path)
        assert removed.returncode == 0
        assert not store.exists()
        assert cli("jobs", "list", home=tmp_path).stdout == ""
        missing = cli("jobs", "resume", output, home=tmp_path)
        assert (missing.returncode, "no job of that name" in missing.stderr) == (2, True)
        return
    resumed = cli("jobs", "resume", output, home=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming: {done} of 16 segments are done" in resumed.stderr
    assert len(judge.frames(output)) == 96
    assert not store.exists()


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"XDG_STATE_HOME": str(home / "state")}


def _until(done: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 100
    while not done.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _films(folder: Path, *names: str) -> list[Path]:
    return [
        judge.make(
            folder / name, "testsrc2=s=160x90:r=24:d=6", "-c:v", "libx264", "-g", "6",
            "-pix_fmt", "yuv420p",
        )
        for name in names
    ]  # fmt: skip


_QUICK = ("--model", "bicubic", "-s", "2", "--segment", "0.25", "--preset", "ultrafast")


@pytest.mark.parametrize(
    ("ignored", "number"),
    [("nohup", signal.SIGHUP), ("trap '' INT", signal.SIGINT), ("trap '' TERM", signal.SIGTERM)],
)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(
    tmp_path: Path, ignored: str, number: signal.Signals
) -> None:
    """So the shell asks for it: `nohup`, a `trap`, or a job of a script behind `&`."""
    (source,) = _films(tmp_path, "film.mp4")
    output = tmp_path / "out.mp4"
    how = "exec nohup" if ignored == "nohup" else f"{ignored}; exec"
    command = [sys.executable, ROOT / "vsr_cli.py", "upscale", source, "-o", output, *_QUICK]
    process = subprocess.Popen(
        ["sh", "-c", f'{how} "$@"', "sh", *map(str, command)],
        stderr=subprocess.PIPE, text=True, env=_environment(tmp_path),
    )  # fmt: skip
    _until(folder_of(output) / "000001.json", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "stopping" not in err
    assert output.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", ["vsr_cli", "vsr.errors"])
def test_a_signal_while_it_is_being_loaded_ends_it_in_a_line(
    tmp_path: Path, number: signal.Signals, at: str
) -> None:
    told = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *more):\n"
        f"        if name == {('vsr' if at == 'vsr_cli' else at)!r}:\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import vsr_cli\n"
        f"sys.argv = ['vsr', 'upscale', {str(tmp_path / 'none.mkv')!r}]\n"
        "vsr_cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == (
        "vsr: interrupted; nothing was begun, and what earlier runs finished is kept\n"
    )


def test_what_ends_all_processes_of_a_service_lets_it_stop_as_alone(tmp_path: Path) -> None:
    """Workers and ffmpeg hear the same signal, and must not look like some that failed."""
    source = judge.talkie(tmp_path / "film.mkv", 8)
    output = tmp_path / "out.mkv"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vsr_cli.py"), "upscale", str(source), "-o", str(output),
         *_QUICK, "--workers", "2"],
        stderr=subprocess.PIPE, text=True, env=_environment(tmp_path),
    )  # fmt: skip
    _until(folder_of(output) / "000001.json", process)
    for number in sorted(_family(process.pid), reverse=True):  # the children first
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 6, err
    assert f"vsr jobs resume {output}" in err
    assert "error" not in err
    assert "unexpectedly" not in err


def _family(parent: int) -> list[int]:
    """A process and all that it has started."""
    found = [parent]
    for number in found:
        for children in Path(f"/proc/{number}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def test_ctrl_c_in_a_terminal_lets_ffmpeg_finish(tmp_path: Path) -> None:
    """It goes to each process of the terminal, and the join is soon done."""
    source, mark = judge.talkie(tmp_path / "film.mkv", 1), tmp_path / "begun"
    program = tmp_path / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *joined*) touch "{mark}"; sleep 0.5;; esac\n'
        f'exec "{judge.PROGRAM}" "$@"\n'
    )
    program.chmod(0o755)
    output = tmp_path / "out.mkv"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vsr_cli.py"), "upscale", str(source), "-o", str(output),
         *_QUICK],
        stderr=subprocess.PIPE, text=True, process_group=0,
        env=_environment(tmp_path) | {"VSR_FFMPEG": str(program)},
    )  # fmt: skip
    _until(mark, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, output.exists()) in ((0, True), (6, False)), err
    assert "failed" not in err


def test_ffmpeg_is_ended_with_the_run_that_started_it(tmp_path: Path) -> None:
    """By a second Ctrl-C, which leaves at once, too."""
    source, mark = judge.talkie(tmp_path / "film.mkv", 1), tmp_path / "begun"
    program = tmp_path / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *joined*) echo $$ >"{mark}"; exec sleep 60;; esac\n'
        f'exec "{judge.PROGRAM}" "$@"\n'
    )
    program.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vsr_cli.py"), "upscale", str(source), "-o",
         str(tmp_path / "out.mkv"), *_QUICK],
        stderr=subprocess.PIPE, text=True,
        env=_environment(tmp_path) | {"VSR_FFMPEG": str(program)},
    )  # fmt: skip
    _until(mark, process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130, err
    assert "vsr jobs resume" in err
    child = Path(f"/proc/{mark.read_text().strip()}/stat")
    deadline = time.monotonic() + 20
    while child.exists() and " Z " not in child.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or " Z " in child.read_text()


def test_a_folder_of_films_goes_on_where_it_was(tmp_path: Path) -> None:
    season, results = tmp_path / "season", tmp_path / "done"
    season.mkdir()
    _films(season, "a.mp4", "b.mp4")
    command = ("upscale", season, "-o", results, *_QUICK)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vsr_cli.py"), *map(str, command)],
        stderr=subprocess.PIPE, text=True, env=_environment(tmp_path),
    )  # fmt: skip
    _until(folder_of(results / "b.mp4") / "000001.json", process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 6, err
    made = (results / "a.mp4").stat()
    again = cli(*command, home=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "a.mp4: is done already" in again.stderr
    assert "note: resuming" in again.stderr
    assert "2 of 2 films done" in again.stderr
    assert (results / "a.mp4").stat().st_mtime_ns == made.st_mtime_ns
    over = cli(*command, home=tmp_path)  # the whole is done: now they are in the way
    assert (over.returncode, "2 of 2 results are there already" in over.stderr) == (2, True)


def test_each_film_that_fails_says_what_is_kept_of_it(tmp_path: Path) -> None:
    """Of a batch, as of a film alone; and the others are not told of it."""
    good, bad, empty = *_films(tmp_path, "good.mp4", "bad.mp4"), tmp_path / "empty.mp4"
    empty.touch()
    results = tmp_path / "results"
    results.mkdir()
    ended = cli(
        "upscale", good, bad, empty, "-o", results, *_QUICK, home=tmp_path,
        VSR_FFMPEG=_failing_for("bad", tmp_path),
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("vsr: ")]
    assert len(lines) == 2, ended.stderr
    kept = "; what is finished is kept; the same command goes on"
    assert [line.endswith(kept) for line in lines] == [True, False]
    on = cli("upscale", bad, "-o", results, *_QUICK, home=tmp_path)
    assert "24 of 24 segments are done" in on.stderr


def _failing_for(name: str, folder: Path) -> str:
    """An ffmpeg that fails where one of its arguments has `name` in it."""
    program = folder / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *{name}*) echo broken >&2; exit 1;; esac\n'
        f'exec "{judge.PROGRAM}" "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    "name", ["plain.mkv", "-dash.mkv", "two words.mkv", "it's.mkv", "new\nline.mkv",
             os.fsdecode("ä.mkv".encode()), os.fsdecode(b"no \xff text\\.mkv")],
)  # fmt: skip
def test_the_line_that_resumes_can_be_typed(name: str) -> None:
    typed = subprocess.run(
        ["bash", "-c", f"printf %s {for_shell(Path('/x') / name)}"], capture_output=True, check=True
    )
    assert typed.stdout == os.fsencode(f"/x/{name}")
