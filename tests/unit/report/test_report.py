"""Promises: a report tells what a run said, what became of each stream, and how each frame did."""

from __future__ import annotations

import json
import pickle
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import fastjsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.browser import Browser, browser_program
from tests.support.jobs import After
from tests.support.pages import Page, check_page
from vsr.cli.main import cli
from vsr.errors import Stopped
from vsr.events import Finished, Note, Progress, Started, WarningNote
from vsr.options import UpscaleOptions
from vsr.report.film_look import worst_times
from vsr.report.plots import Series, figure
from vsr.report.run_record import RunRecorder, record_of

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text())
CHECKED = fastjsonschema.compile(SCHEMA)


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    found = getattr(result.exception, "exit_code", result.exit_code)
    assert found == code, (result.output, result.exception)
    return result.stdout + str(result.exception or "")


def told(*arguments: str | Path) -> Any:
    """What `--json` prints, as the schema has it."""
    data = json.loads(run("report", *arguments, "--json", "-q"))
    return CHECKED(data)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two shots of a second each, with sound that MP4 cannot hold, a subtitle and a title."""
    path = tmp_path / "film.mkv"
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,100 --> 00:00:01,000\nWords\n")
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=1,hue=h=90[a];testsrc=s=96x64:r=10:d=1[b];"
        "[a][b]concat", "-f", "lavfi", "-i", "sine=d=2", "-i", str(text), "-map", "0", "-map", "1",
        "-map", "2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "wmav2", "-c:s", "srt",
        "-metadata", "title=A <title>", "-metadata:s:a:0", "language=deu", str(path),
    )  # fmt: skip
    return path


def test_a_report_tells_what_became_of_each_stream(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run("upscale", film, "-o", out, "-m", "bicubic", "--scale", "2", "-q")
    data = told(out)
    fates = {stream["before"]["kind"]: stream for stream in data["streams"]}
    assert fates["video"]["fate"] == "upscaled"
    assert fates["audio"]["fate"] == "encoded again"
    assert fates["audio"]["before"]["codec"] == "wmav2"
    assert fates["audio"]["after"]["codec"] == "aac"
    assert fates["audio"]["after"]["language"] == "deu"
    assert fates["subtitle"]["after"]["codec"] == "mov_text"
    assert data["frames"]["source"] == data["frames"]["output"] == 20
    assert data["frames"]["furthest_seconds"] == pytest.approx(0, abs=1e-3)
    assert data["tags"] == []
    assert data["cuts"] == [1.0]
    assert len(data["notes"]) > 0
    assert data["run"]["options"]["model"]["name"] == "bicubic"


def test_what_is_left_out_is_told(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run("upscale", film, "-o", out, "-m", "bicubic", "--scale", "2", "--no-audio", "-q")
    fates = {s["before"]["kind"]: s["fate"] for s in told(out, "--quick")["streams"]}
    assert fates["audio"] == "left out"


def test_each_frame_has_its_size_and_its_time(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run("upscale", film, "-o", out, "-m", "bicubic", "--scale", "2", "-q")
    series = told(out, "--quick")["per_frame"]
    assert len(series["kilobytes"]["values"]) == 20
    assert sum(series["kilobytes"]["values"]) * 1000 < out.stat().st_size
    assert series["kilobytes"]["times"] == pytest.approx([n / 10 for n in range(20)], abs=1e-3)
    assert len(series["seconds"]["values"]) == 19
    assert all(0 <= value < 60 for value in series["seconds"]["values"])


def test_quality_is_that_of_vsr_metrics(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run("upscale", film, "-o", out, "-m", "nearest", "--scale", "2", "-q")
    measured = json.loads(run("metrics", film, out, "--resize", "bicubic", "--metric", "psnr,ssim",
                              "--json", "-q"))  # fmt: skip
    data = told(out, "--worst", "1")
    scores = {score["name"]: score["mean"] for score in data["quality"]["scores"]}
    for name, mean in scores.items():
        assert mean == pytest.approx(measured["scores"][name]["mean"])
    values = data["per_frame"]["psnr_y"]["values"]
    assert data["worst"][0]["value"] == min(values)
    assert data["worst"][0]["seconds"] == pytest.approx(np.argmin(values) / 10, abs=1e-3)
    assert data["worst"][0]["invented"] > 0


def test_what_was_cropped_is_not_measured_against_its_source(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run("upscale", film, "-o", out, "-m", "bicubic", "--scale", "2", "--crop", "64:64:0:0", "-q")
    data = told(out)
    assert data["quality"] is None
    assert any("edges were cut off" in note for note in data["notes"])


def test_of_each_frame_it_is_told_how_much_was_invented(film: Path, tmp_path: Path) -> None:
    weights, means = tiny_weights(tmp_path), {}
    for strength in ("1", "0.25", "0"):
        out = tmp_path / f"{strength}.mkv"
        run("upscale", film, "-o", out, "-m", weights, "--strength", strength, "--codec", "ffv1",
            "--device", "cpu", "-q")  # fmt: skip
        series = told(out, "--invention", "--metric", "psnr", "--worst", "0")["per_frame"][
            "invented"
        ]
        assert len(series["values"]) == len(series["times"]) == 20
        assert all(0 <= share <= 1 for share in series["values"])
        means[strength] = sum(series["values"]) / 20
    assert means["0"] < 0.01 < means["1"]
    # Energy goes with the square.
    assert means["0.25"] < means["1"] / 4
    assert "invented" not in told(out, "--metric", "psnr", "--worst", "0")["per_frame"]
    same = tmp_path / "same.mkv"
    run("upscale", film, "-o", same, "-m", "bicubic", "-s", "1", "--codec", "ffv1", "-q")
    smaller = told(same, "--invention", "--metric", "psnr")
    assert "invented" not in smaller["per_frame"]
    assert any("nothing of it is invented" in note for note in smaller["notes"])


def test_work_that_reuse_left_is_what_the_run_counted(film: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "out.mkv", tiny_weights(tmp_path)
    run("upscale", film, "-o", out, "-m", weights, "--reuse", "safe", "-q")
    data = told(out)
    work = data["per_frame"]["work"]["values"]
    assert len(work) == 20
    assert work[0] == 1
    saved = 1 - sum(work) / 20
    assert any(f"{saved:.0%} of the network's work" in note for note in data["notes"])


def test_flicker_is_measured_where_it_was_filtered(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run(
        "upscale", film, "-o", out, "-m", tiny_weights(tmp_path), "--temporal-filter", "light", "-q"
    )
    assert {"flicker_out", "flicker_ref"} <= told(out)["per_frame"].keys()


def test_the_command_makes_the_same_again(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run("upscale", film, "-o", out, "-m", "bicubic", "--height", "100", "--clip", "0.5-1.5", "-q")
    line = told(out, "--quick")["run"]["command"]
    first = [frame.digest for frame in judge.frames(out)]
    out.unlink()
    program, *words = shlex.split(line)
    assert program == "vsr"
    run(*words, "-q")
    assert [frame.digest for frame in judge.frames(out)] == first


def test_a_result_that_was_changed_is_not_explained_by_an_old_run(
    film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    run("upscale", film, "-o", out, "-m", "bicubic", "--scale", "2", "-q")
    out.write_bytes(out.read_bytes() + b"\0")
    assert "name its source first" in run("report", out, "--quick", code=2)
    data = told(film, out, "--quick")
    assert data["run"] is None
    assert data["frames"]["output"] == 20


def test_a_job_that_is_not_done_is_reported(tmp_path: Path) -> None:
    film, out = tmp_path / "film.mkv", tmp_path / "out.mkv"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=3", "-g", "10", str(film))
    with pytest.raises(Stopped):
        vsr.upscale(film, out, model="bicubic", scale=2, segment=1.0, stop=After(1))
    data = told(out)
    assert data["schema"] == "vsr.report.job"
    assert (data["state"], data["segments"]) == ("stopped", 3)
    assert [segment["number"] for segment in data["done"]] == [0]
    page = check_page(Path(run("report", out, "-q").strip()))
    assert page.commands[0] == f"vsr jobs resume {out}"


# --- the record of a run ---


def events(output: Path, frames: int, first: int = 1) -> list[Any]:
    started = Started(source=Path("/a"), output=output, frames=frames, width=2, height=2,
                      store=None, description="how")  # fmt: skip
    progress = [Progress(frames=n) for n in range(first, frames + 1)]
    return [Note(text="early"), started, WarningNote(text="lost"), Note(text="early"), *progress,
            Finished(output=output, frames=frames, seconds=1.0)]  # fmt: skip


def test_a_record_has_all_that_was_said_and_a_bounded_pace(tmp_path: Path) -> None:
    out, heard = tmp_path / "out.mkv", list[Any]()
    out.write_bytes(b"film")
    recorder = RunRecorder(heard.append, UpscaleOptions())
    for event in (sent := events(out, 9000, first=101)):
        recorder(event)
    assert heard == sent
    record = record_of(out)
    assert record is not None
    assert (record.notes, record.warnings) == (["early"], ["lost"])
    assert (record.frames, record.before) == (9000, 100)
    assert len(record.pace) <= 2001
    assert (record.pace[0][0], record.pace[-1][0]) == (101, 9000)
    out.write_bytes(b"another")
    assert record_of(out) is None


def test_a_long_film_takes_no_more_memory(tmp_path: Path) -> None:
    """Of ten hours there are 864,000 frames, each with its time."""
    recorder = RunRecorder(lambda event: None, UpscaleOptions())
    sent = events(tmp_path / "out.mkv", 50_000)[:-1]
    sizes = []
    for n, event in enumerate(sent):
        recorder(event)
        if n % 10_000 == 9_999:
            sizes.append(len(pickle.dumps(recorder.__dict__["_pace"])))
    assert max(sizes) < 64_000  # a point takes some 20 bytes


def test_a_record_that_cannot_be_written_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"film")
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    recorder = RunRecorder(lambda event: None, UpscaleOptions())
    for event in events(out, 5):
        recorder(event)
    assert record_of(out) is None


# --- the page ---


@pytest.fixture
def page(film: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out & <more>.mp4"
    run("upscale", film, "-o", out, "-m", "nearest", "--scale", "2", "-q")
    return Path(run("report", out, "--worst", "2", "-q").strip())


def test_the_page_shows_it_all(page: Path, film: Path) -> None:
    found = check_page(page)
    rows = [words for n, words in found.words.items() if found.elements[n][0] == "tr"]
    assert any("wmav2" in row and "aac" in row and "encoded again" in row for row in rows)
    assert len(found.commands) == 1
    assert shlex.split(found.commands[0])[:3] == ["vsr", "upscale", str(film)]
    kinds = [tag for tag, _ in found.elements]
    assert kinds.count("svg") >= 4
    assert kinds.count("img") == 2 * 4  # source, result, and the map over the result
    assert "A <title>" not in found.text


def test_a_page_is_not_replaced_unless_asked(page: Path) -> None:
    film = page.with_name(page.name.replace("_report.html", ".mp4"))
    assert "--overwrite" in run("report", film, "--quick", "-q", code=2)
    run("report", film, "--quick", "-q", "--overwrite")
    assert "take the place" in run("report", film, "--quick", "-o", film, "-q", code=2)


def test_in_a_browser_nothing_goes_wrong(page: Path, tmp_path: Path) -> None:
    with Browser(browser_program(), tmp_path / "profile") as browser:
        browser.look(390, 844, phone=True)
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        # No word at the head of a row is broken.
        heads = browser.run(
            "[...document.querySelector('table').querySelectorAll('tbody th')].map(one => {"
            " const range = document.createRange(); range.selectNodeContents(one);"
            " return [one.textContent, range.getClientRects().length]; })"
        )
        assert "Container" in dict(heads)
        assert all(lines == 1 for _, lines in heads), heads
        assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        browser.run("document.querySelector('button.copy').click()")
        browser.wait("/Copied|Selected/.test(document.querySelector('button.copy').textContent)")
        assert browser.run("getSelection().toString()").strip() == Page(page).commands[0]
        assert not browser.errors


# --- plots ---


def points(drawn: str) -> list[tuple[float, float]]:
    root = ET.fromstring(drawn[drawn.index("<svg") : drawn.index("</svg>") + 6])
    path = next(one for one in root.iter("path")).attrib["d"]
    return [(float(x), float(y)) for x, y in (point.split() for point in path[1:].split("L"))]


def test_a_plot_keeps_every_peak_of_a_long_film() -> None:
    values = [1.0] * 100_000
    values[54_321] = 9.0
    times = [n / 25 for n in range(100_000)]
    drawn = figure("Size", [Series(name="a", unit="kB", times=times, values=values)])
    line = points(drawn)
    assert len(line) < 1000
    highest = min(line, key=lambda point: point[1])
    assert highest[0] == pytest.approx(64 + 54_321 / 99_999 * 924, abs=0.2)
    assert "from 1 to 9" in drawn


def test_what_is_no_number_is_not_drawn() -> None:
    nothing = Series(name="a", unit="", times=[0.0, 1.0], values=[float("nan"), float("inf")])
    assert figure("Nothing", [nothing]) == ""
    some = Series(name="a", unit="", times=[0.0, 1.0, 2.0], values=[1.0, float("inf"), 2.0])
    assert len(points(figure("Some", [some]))) == 2
    one = Series(name="a", unit="", times=[0.0], values=[0.0])
    assert len(points(figure("One", [one]))) == 1


def test_worst_frames_lie_apart() -> None:
    times = [n / 10 for n in range(30)]
    values = [float(abs(n - 12)) for n in range(30)]
    assert worst_times(times, values, 3, low_is_bad=True) == [12, 2, 22]
    assert worst_times(times, values, 1, low_is_bad=False) == [29]
