"""What is finished is kept, checked, and gone on with; and never joined to other work."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import namedtuple
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.jobs import After
from vsr.errors import InputError, OutputError, OutputExists, Stopped, UsageError
from vsr.events import Event, Progress, Started
from vsr.jobs.store import job_status
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.options import Codec


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return judge.talkie(tmp_path / "film.mkv", 3)


def upscale(film: Path, output: Path, /, **options: Any) -> vsr.Result:
    stop = options.pop("stop", lambda: False)
    sink = options.pop("sink", lambda event: None)
    encode = options.pop("encode", vsr.EncodeOptions(codec="ffv1"))
    chosen: dict[str, Any] = {
        "model": vsr.ModelOptions(name="bicubic"),
        "size": vsr.SizeOptions(scale=Fraction(1)),
        "encode": encode,
        "jobs": vsr.JobOptions(segment=0.4),
    }
    return vsr.upscale(film, output, vsr.UpscaleOptions(**chosen | options), sink=sink, stop=stop)


def begun(film: Path, output: Path, parts: int = 3) -> Path:
    """The store of a job that was stopped when so many parts were done."""
    with pytest.raises(Stopped):
        upscale(film, output, stop=After(parts))
    store = folder_of(output)
    assert len(list(store.glob("[0-9]*.json"))) == parts
    assert not output.exists()
    return store


@pytest.mark.parametrize(
    "name", ["out.mkv", "out.mp4", "out.mov", "out.webm", "out.gif", "prores.mov", "ffv1.mkv"]
)
def test_a_segment_is_the_same_bytes_whoever_makes_it(
    film: Path, tmp_path: Path, name: str
) -> None:
    """By that machines that share a job tell that one of them computes wrongly."""
    codec: Codec | None = {"prores": "prores", "ffv1": "ffv1"}.get(Path(name).stem)  # type: ignore[assignment]
    made = []
    for number, parts in enumerate((2, 3)):
        output = tmp_path / str(number) / name
        output.parent.mkdir()
        with pytest.raises(Stopped):
            upscale(film, output, stop=After(parts), encode=vsr.EncodeOptions(codec=codec))
        store = folder_of(output)
        made.append({p.name: p.read_bytes() for p in sorted(store.glob("00000[01].*"))})
    assert len(made[0]) == 4
    assert made[0] == made[1]


def digests(path: Path) -> list[str]:
    return [f.digest for f in judge.frames(path)]


def told(result: vsr.Result) -> str:
    return next((n for n in result.notes if n.startswith("resuming")), "")


def test_the_same_call_goes_on_and_says_so(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    begun(film, output)
    seen: list[int] = []

    def sink(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event.frames)

    result = upscale(film, output, sink=sink)
    assert told(result) == "resuming: 3 of 7 segments are done"
    assert (min(seen), max(seen)) == (31, 75)  # three parts of ten frames were not done again
    assert digests(output) == digests(film)
    assert [(p.pts, p.digest) for p in judge.packets(output, "a:0")] == [
        (p.pts, p.digest) for p in judge.packets(film, "a:0")
    ]
    assert not folder_of(output).exists()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".gif", ".apng", ".webp", ".mov", ".webm"])
def test_parts_cannot_be_seen_in_the_result(film: Path, tmp_path: Path, suffix: str) -> None:
    codec = {".mkv": "ffv1", ".mp4": "ffv1", ".mov": "prores", ".webm": "vp9"}.get(suffix)
    encode = vsr.EncodeOptions(codec=codec)  # type: ignore[arg-type]
    one, many = tmp_path / f"one{suffix}", tmp_path / f"many{suffix}"
    upscale(film, one, encode=encode, jobs=vsr.JobOptions(segment=100))
    result = upscale(film, many, encode=encode)
    assert result.frames == 75
    stamps = [f.pts for f in judge.frames(one)], [f.pts for f in judge.frames(many)]
    assert stamps[0] == stamps[1]
    if suffix not in (".webm", ".mov"):  # an encoder with a memory begins anew in each part
        assert digests(one) == digests(many)


@pytest.mark.parametrize("scan", ["bwdif", "ivtc"])
def test_filters_see_across_the_seams(tmp_path: Path, scan: Any) -> None:
    fields = "telecine" if scan == "ivtc" else "interlace"
    source = judge.make(
        tmp_path / "fields.mkv", "testsrc2=s=720x480:r=24000/1001:d=3",
        "-vf", f"{fields}", "-c:v", "libx264", "-crf", "10", "-flags", "+ildct", "-g", "15",
    )  # fmt: skip
    chosen = vsr.SourceOptions(deinterlace=scan)
    one = upscale(source, tmp_path / "one.mkv", source=chosen, jobs=vsr.JobOptions(segment=100))
    output = tmp_path / "many.mkv"
    with pytest.raises(Stopped):
        upscale(source, output, source=chosen, stop=After(2))
    with pytest.raises(Stopped):
        upscale(source, output, source=chosen, stop=After(1))
    upscale(source, output, source=chosen)
    assert judge.frames(output) == judge.frames(one.output)


def test_a_film_as_pictures_goes_on_too(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "frames" / "%03d.png"
    chosen = vsr.EncodeOptions()
    with pytest.raises(Stopped):
        upscale(film, output, encode=chosen, stop=After(2))
    assert not list(output.parent.glob("*.png"))
    result = upscale(film, output, encode=chosen)
    assert "2 of 7" in told(result)
    assert len(list(output.parent.glob("*.png"))) == 75


def test_pictures_that_have_their_names_only_in_part_get_the_rest(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "frames" / "%03d.png"
    given: list[str] = []

    def replace(source: str, target: Path) -> None:
        if len(given) == 30 and str(target).endswith(".png"):
            raise OSError(28, "No space left on device")
        real(source, target)
        if str(target).endswith(".png"):
            given.append(str(target))

    real = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        with pytest.raises(OutputError):
            upscale(film, output, encode=vsr.EncodeOptions())
    assert len(list(output.parent.glob("*.png"))) == 30
    upscale(film, output, encode=vsr.EncodeOptions())
    assert len(list(output.parent.glob("*.png"))) == 75


@pytest.mark.parametrize("harm", ["truncated", "flipped", "record", "empty", "missing", "foreign"])
def test_a_part_that_is_not_what_was_written_is_done_again(
    film: Path, tmp_path: Path, harm: str
) -> None:
    output = tmp_path / "out.mkv"
    store = begun(film, output)
    part, record = next(store.glob("000001.[!j]*")), store / "000001.json"
    data = bytearray(part.read_bytes())
    if harm == "truncated":
        part.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif harm == "record":
        text = record.read_text()
        record.write_text(text.replace('"frames": 10', '"frames": 11'))
    elif harm == "empty":
        record.write_text("")
    elif harm == "missing":
        part.unlink()
    else:
        shutil.copy(next(store.glob("000000.[!j]*")), part)
    result = upscale(film, output)
    assert told(result) == "resuming: 2 of 7 segments are done"
    assert digests(output) == digests(film)


def test_other_options_are_refused_and_named(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    store = begun(film, output)
    other = vsr.EncodeOptions(codec="h264", crf=30, preset="ultrafast")
    with pytest.raises(UsageError, match=r"encode.crf: None -> 30.*restart") as error:
        upscale(film, output, encode=other)
    assert "encode.codec: ffv1 -> h264" in str(error.value)
    with pytest.raises(UsageError, match="the weights"):
        upscale(film, output, model=vsr.ModelOptions(name="nearest"))
    assert len(list(store.glob("[0-9]*.json"))) == 3  # nothing was thrown away
    # What changes no pixel may change.
    assert "3 of 7" in told(upscale(film, output, device=vsr.DeviceOptions(threads=1, batch=2)))


def test_another_runtime_of_the_network_is_refused(film: Path, tmp_path: Path) -> None:
    """It rounds otherwise: the parts would not be those of one run."""
    pytest.importorskip("ncnn")
    output = tmp_path / "out.mkv"
    tiny = vsr.ModelOptions(name=str(tiny_weights(tmp_path, upscale=1)))
    with pytest.raises(Stopped):
        upscale(film, output, model=tiny, device=vsr.DeviceOptions(engine="torch"), stop=After(2))
    with pytest.raises(UsageError, match=r"engine: .*torch.* -> .*ncnn.*restart"):
        upscale(film, output, model=tiny, device=vsr.DeviceOptions(engine="ncnn"))
    assert "2 of 7" in told(
        upscale(film, output, model=tiny, device=vsr.DeviceOptions(engine="torch"))
    )


def test_restart_begins_anew(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    begun(film, output)
    other = vsr.EncodeOptions(codec="h264", preset="ultrafast")
    again = vsr.JobOptions(segment=0.4, restart=True)
    result = upscale(film, output, encode=other, jobs=again)
    assert told(result) == ""
    assert "h264" in judge.video_line(output)


def test_another_source_is_refused(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    begun(film, output)
    data = bytearray(film.read_bytes())
    data[-5] ^= 1
    film.write_bytes(data)
    with pytest.raises(UsageError, match="the source"):
        upscale(film, output)


def test_a_source_that_changes_meanwhile_is_told(film: Path, tmp_path: Path) -> None:
    def sink(event: Event) -> None:
        if isinstance(event, Progress) and event.frames == 20:
            os.utime(film, (1, 1))

    with pytest.raises(InputError, match="was changed while it was read"):
        upscale(film, tmp_path / "out.mkv", sink=sink)
    assert not (tmp_path / "out.mkv").exists()


def test_a_source_that_vanishes_leaves_what_is_finished(film: Path, tmp_path: Path) -> None:
    output, away = tmp_path / "out.mkv", tmp_path / "away.mkv"
    begun(film, output)
    film.rename(away)
    with pytest.raises(InputError, match="no such file"):
        upscale(film, output)
    away.rename(film)
    assert "3 of 7" in told(upscale(film, output))


def test_a_folder_that_goes_away_is_told_in_a_line(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()

    def sink(event: Event) -> None:
        if isinstance(event, Progress) and event.frames == 20:
            shutil.rmtree(folder)

    with pytest.raises(OutputError) as error:
        upscale(film, folder / "out.mkv", sink=sink)
    assert "\n" not in str(error.value)


def test_a_disk_that_is_nearly_full_stops_the_job_in_time(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr("vsr.jobs.run.encode.shutil.disk_usage", lambda path: usage(1, 1, 1 << 20))
        told_of = r"the disk is full; make room: 1 MB are free, about \d+ MB are needed"
        with pytest.raises(Stopped, match=told_of):
            upscale(film, output)
    assert "1 of 7" in told(upscale(film, output))  # there is room again


def test_a_disk_that_is_too_small_is_told_before_the_work(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    notes: list[Event] = []
    monkeypatch.setattr("vsr.jobs.run.resume.shutil.disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(Stopped):
        upscale(film, tmp_path / "out.mkv", sink=notes.append)
    assert any("on the disk while it runs" in getattr(note, "text", "") for note in notes)


def test_the_result_of_one_who_was_faster_is_not_replaced(film: Path, tmp_path: Path) -> None:
    """The name was free when this run looked, and is taken when the lock is."""
    output = tmp_path / "out.mkv"

    def sink(event: Event) -> None:
        if isinstance(event, Started):
            output.write_text("of another run")

    with pytest.raises(OutputExists):
        upscale(film, output, sink=sink)
    assert output.read_text() == "of another run"
    assert not folder_of(output).exists()


def test_what_a_kill_left_at_the_very_end_is_not_taken_for_another_job(
    film: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"

    def left() -> None:
        """The store as a kill leaves it between its last but one file and its last."""
        with JobStore(folder_of(output)) as store:
            store.begin(job)
            store.tell({"bytes": output.stat().st_size, "frames": 75})
            (store.folder / "job.json").unlink()

    job = json.loads((begun(film, output) / "job.json").read_text())
    del job["seal"]
    upscale(film, output)
    left()
    assert upscale(film, output).frames == 75  # nothing is to do: the same job
    left()
    other = vsr.EncodeOptions(codec="h264", preset="ultrafast")
    with pytest.raises(OutputExists):
        upscale(film, output, encode=other)
    left()
    replacing = vsr.EncodeOptions(codec="h264", preset="ultrafast", overwrite=True)
    upscale(film, output, encode=replacing)
    assert "h264" in judge.video_line(output)
    assert not folder_of(output).exists()


def test_weights_are_found_from_any_folder(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=1)
    torch.save(network.state_dict(), tmp_path / "own.pth")
    output = tmp_path / "out.mkv"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stopped):
        upscale(film, output, model=vsr.ModelOptions(name="own.pth"), stop=After(2))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    job = job_status.job_of(Path("../out.mkv"))
    assert job.options.model.name == str(tmp_path / "own.pth")
    assert isinstance(job.source, Path)
    with pytest.raises(Stopped):
        upscale(job.source, job.output, stop=After(1), model=job.options.model)
    result = upscale(film, output, model=vsr.ModelOptions(name="../own.pth"))
    assert told(result) == "resuming: 3 of 7 segments are done"


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "ffv1"])
def test_a_machine_with_fewer_cores_goes_on(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    """Or the same one, of which a container or a scheduler gives less than before."""
    output = tmp_path / "out.mkv"
    encode = vsr.EncodeOptions(codec=codec, preset="10" if codec == "av1" else None)
    with monkeypatch.context() as patched:
        patched.setattr("vsr.media.write.writer.codec_threads", lambda: 3)
        with pytest.raises(Stopped):
            upscale(film, output, stop=After(2), encode=encode)
    monkeypatch.setattr("vsr.media.write.writer.codec_threads", lambda: 1)
    assert told(upscale(film, output, encode=encode)) == "resuming: 2 of 7 segments are done"
    assert len(judge.frames(output)) == 75
    upscale(film, tmp_path / "whole.mkv", encode=encode)
    assert output.read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_a_second_process_is_told_who_is_at_work(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    with JobStore(folder_of(output)):
        with pytest.raises(UsageError, match=f"process {os.getpid()} is at work"):
            upscale(film, output)
        assert folder_of(output).is_dir()
    assert upscale(film, output).frames == 75  # the lock of a process that ended holds nobody


def test_a_name_as_long_as_names_can_be(film: Path, tmp_path: Path) -> None:
    output = tmp_path / f"{os.fsdecode('ü'.encode()) * 120}.mkv"
    begun(film, output)
    assert "3 of 7" in told(upscale(film, output))


def test_nothing_grows_with_the_number_of_parts(tmp_path: Path) -> None:
    source = judge.make(tmp_path / "long.mkv", "testsrc2=s=32x32:r=10:d=50", "-c:v", "ffv1")
    handles, memory = [], []

    def sink(event: Event) -> None:
        if isinstance(event, Progress) and event.frames % 50 == 0:
            handles.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
            memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

    result = upscale(source, tmp_path / "out.mkv", jobs=vsr.JobOptions(segment=0.1), sink=sink)
    assert result.frames == 500  # a part each
    assert max(handles) - handles[0] <= 2
    assert memory[-1] - memory[1] < 30 << 20


def test_two_at_once(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    errors: list[BaseException] = []

    def one() -> None:
        try:
            upscale(film, output)
        except (UsageError, OutputExists) as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert "is at work" in str(errors[0]) or "is there already" in str(errors[0])
    assert digests(output) == digests(film)
