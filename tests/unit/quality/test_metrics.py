"""Promise: `vsr.metrics` says of real files what ffmpeg and libvmaf say of them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import vsr
from tests.support import judge
from vsr.errors import FfmpegError, UsageError
from vsr.events import Event, Note
from vsr.options import Kernel

SOURCE = "testsrc2=s=176x176:r=10:d=0.5"
LONG = "testsrc2=s=64x48:r=10:d=0.8"
EXACT = ("-fps_mode", "passthrough", "-enc_time_base", "1/1000")
CODINGS = {
    "8 bit": ("-pix_fmt", "yuv420p"),
    "10 bit": ("-pix_fmt", "yuv420p10le"),
    "full range": ("-vf", "scale=out_range=full", "-pix_fmt", "yuv420p", "-color_range", "pc"),
    "4:4:4": ("-pix_fmt", "yuv444p"),
}

FORMATS = {"10 bit": "yuv420p10le", "4:4:4": "yuv444p"}


def make(path: Path, source: str = SOURCE, *arguments: str) -> Path:
    """Without loss."""
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    return judge.make(path, source, *tags, "-c:v", "ffv1", *arguments)


def judged(ref: Path, out: Path, graph: str, folder: Path) -> str:
    """What a filter of ffmpeg's writes of the pair into its file `log`."""
    log = folder / "log"
    judge.ffmpeg("-i", str(out), "-i", str(ref), "-lavfi", graph.format(log=log), "-f", "null", "-")
    return log.read_text()


def has_vmaf() -> bool:
    return " libvmaf " in judge.ffmpeg("-filters").decode()


@pytest.mark.parametrize("coding", CODINGS)
def test_as_ffmpeg_and_libvmaf_have_it(tmp_path: Path, coding: str) -> None:
    ref = make(tmp_path / "ref.mkv", SOURCE, *CODINGS[coding])
    out, tag = tmp_path / "out.mkv", ("-color_range", "pc" if coding == "full range" else "tv")
    # ffmpeg's noise is of 8 bits; blurred, it is of 10.
    worse = f"noise=alls=24:allf=t,format={FORMATS.get(coding, 'yuv420p')},avgblur=1"
    judge.ffmpeg("-i", str(ref), "-vf", worse, *tag, "-c:v", "ffv1", str(out))
    options = vsr.MetricsOptions(metrics=("psnr", "ssim", "ms-ssim", "vmaf"))
    report = vsr.metrics(ref, out, options)
    assert (report.pairs, report.only_ref, report.only_out) == (5, 0, 0)

    # The same definition. It writes two digits behind the point.
    stats = judged(ref, out, "psnr=stats_file={log}", tmp_path)
    theirs = [float(n) for n in re.findall(r"psnr_y:([\d.]+)", stats)]
    assert list(report.values["psnr_y"]) == pytest.approx(theirs, abs=0.0051)

    features = "feature=name=float_ssim|name=float_ms_ssim"
    log = json.loads(
        judged(ref, out, f"libvmaf=log_fmt=json:log_path={{log}}:{features}", tmp_path)
    )
    theirs = [frame["metrics"]["float_ssim"] for frame in log["frames"]]
    # The same window and constants, in float32 and, it seems, with a rounded table: off by 4e-4
    # here. tests/unit/quality/test_psnr_ssim.py is the strict judge.
    assert list(report.values["ssim"]) == pytest.approx(theirs, abs=1e-3)
    # It smooths with a wavelet's low-pass between the scales, where the paper has a mean.
    theirs = [frame["metrics"]["float_ms_ssim"] for frame in log["frames"]]
    assert list(report.values["ms_ssim"]) == pytest.approx(theirs, abs=0.02)
    # The same program, given the files in place of our pairs.
    theirs = [frame["metrics"]["vmaf"] for frame in log["frames"]]
    assert list(report.values["vmaf"]) == pytest.approx(theirs, abs=1e-5)
    pool, score = log["pooled_metrics"]["vmaf"], report.score("vmaf")
    assert score.mean == pytest.approx(pool["mean"], abs=1e-5)
    assert score.worst == pytest.approx(pool["min"], abs=1e-5)
    assert score.pooled == pytest.approx(pool["harmonic_mean"], abs=1e-4)


@pytest.mark.parametrize("coding", [coding for coding in CODINGS if coding != "4:4:4"])
def test_vmaf_v1_and_cambi_are_those_of_libvmaf(tmp_path: Path, coding: str) -> None:
    """Given the files: 10 bits of 4:2:0 with chroma, which is worse here than luma."""
    slopes = (
        "testsrc2=s=240x180:r=10:d=0.5,format=yuv420p,"
        "geq=lum='if(lt(Y,120),40+X/16+N,p(X,Y))':cb=p(X\\,Y):cr=p(X\\,Y)"
    )
    ref = make(tmp_path / "ref.mkv", slopes, *CODINGS[coding])
    out, tag = tmp_path / "out.mkv", ("-color_range", "pc" if coding == "full range" else "tv")
    worse = f"lutyuv=y=val*0.97:u=val*1.05,format={FORMATS.get(coding, 'yuv420p')}"
    judge.ffmpeg("-i", str(ref), "-vf", worse, *tag, "-c:v", "ffv1", str(out))
    report = vsr.metrics(ref, out, vsr.MetricsOptions(metrics=("cambi", "vmaf1")))
    graph = (
        "[0:v]format=yuv420p10le[a];[1:v]format=yuv420p10le[b];[a][b]libvmaf=log_fmt=json:"
        "log_path={log}:model='version=vmaf_v1.0.16_3d0h':feature=name=cambi"
    )
    log = json.loads(judged(ref, out, graph, tmp_path))
    for ours, theirs in (("vmaf1", "vmaf"), ("cambi", "cambi")):
        values = [frame["metrics"][theirs] for frame in log["frames"]]
        assert list(report.values[ours]) == pytest.approx(values, abs=1e-5)
        assert len(values) == 5
        assert report.score(ours).mean == pytest.approx(
            log["pooled_metrics"][theirs]["mean"], abs=1e-5
        )
    assert report.score("cambi").mean > 1  # there are bands
    assert report.score("vmaf1").mean < 99


def test_vmaf_v1_sees_colour_and_takes_pictures_of_any_coding(tmp_path: Path) -> None:
    ref = make(tmp_path / "ref.mkv", "testsrc2=s=241x181:r=10:d=0.3", "-pix_fmt", "gbrp")
    same = make(tmp_path / "same.mkv", "testsrc2=s=241x181:r=10:d=0.3", "-pix_fmt", "gbrp")
    grey = tmp_path / "grey.mkv"
    judge.ffmpeg("-i", str(ref), "-vf", "hue=s=0.4", "-pix_fmt", "gbrp", "-c:v", "ffv1", str(grey))
    found = [
        vsr.metrics(ref, out, vsr.MetricsOptions(metrics=("vmaf1",))).score("vmaf1").mean
        for out in (same, grey)
    ]
    assert found[0] > 99.9
    assert found[1] < found[0] - 2


def test_rgb_is_compared_by_the_tagged_matrix(tmp_path: Path) -> None:
    """BT.601 beside BT.709: other code values, the same colours."""
    flat = "color=0xC03050:s=64x64:r=5:d=0.4"
    paths = []
    for name, number in (("bt709", "bt709"), ("smpte170m", "bt601")):
        path = tmp_path / f"{name}.mkv"
        judge.make(
            path, f"{flat},format=gbrp,scale=out_color_matrix={number}:out_range=tv",
            "-pix_fmt", "yuv444p", "-colorspace", name, "-color_range", "tv", "-c:v", "ffv1",
        )  # fmt: skip
        paths.append(path)
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    options = vsr.MetricsOptions(metrics=("psnr",))
    report = vsr.metrics(paths[0], paths[1], options, sink=listen)
    assert report.score("psnr_rgb").mean > 46  # one code of 255 is 48 dB
    assert report.score("psnr_y").mean > 46
    assert any("OUT is BT.601 limited range 8 bit, REF BT.709" in note for note in notes)


def test_equal_films_are_infinitely_close(tmp_path: Path) -> None:
    ref = make(tmp_path / "r.mkv")
    report = vsr.metrics(ref, ref, vsr.MetricsOptions(metrics=("psnr", "ssim", "ms-ssim")))
    assert report.score("psnr_y").mean == math.inf
    assert report.score("psnr_rgb").pooled == math.inf
    assert report.score("ssim").worst == pytest.approx(1)
    assert report.score("ms_ssim").worst == pytest.approx(1)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_variable_frame_rate_pairs_by_time(tmp_path: Path, suffix: str) -> None:
    """Frame n at n^2 * 7 ms; OUT lacks the fourth and has its own container's clock."""
    times = "settb=1/1000,setpts=N*N*7"
    codec = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", *EXACT)
    ref = judge.make(tmp_path / "r.mkv", f"{LONG},{times}", *codec)
    out = judge.make(tmp_path / f"o.{suffix}", f"{LONG},{times},select=not(eq(n\\,3))", *codec)
    report = vsr.metrics(ref, out, vsr.MetricsOptions(metrics=("psnr",)))
    assert list(report.times) == [Fraction(n * n * 7, 1000) for n in (0, 1, 2, 4, 5, 6, 7)]
    assert (report.pairs, report.only_ref, report.only_out) == (7, 1, 0)
    assert report.score("psnr_y").worst == math.inf  # a pair shifted by one would not be equal
    assert any("first at 0.063 s" in note for note in report.notes)


def test_different_lengths_are_told_and_nothing_in_common_is_refused(tmp_path: Path) -> None:
    ref = make(tmp_path / "r.mkv")
    out = make(tmp_path / "o.mkv", SOURCE.replace("0.5", "0.3"))
    report = vsr.metrics(ref, out, vsr.MetricsOptions(metrics=("psnr",)))
    assert (report.pairs, report.only_ref, report.only_out) == (3, 2, 0)
    late = judge.make(
        tmp_path / "l.mkv", SOURCE, "-vf", "settb=1/1000,setpts=PTS+50", "-c:v", "ffv1", *EXACT
    )
    with pytest.raises(UsageError, match="none of its 5 frames"):
        vsr.metrics(ref, late, vsr.MetricsOptions(metrics=("psnr",)))


def test_sizes_have_to_be_equal_or_are_made_so(bunny: Path, tmp_path: Path) -> None:
    ref, half = tmp_path / "r.mkv", tmp_path / "h.mkv"
    for path, size in ((ref, "160:90"), (half, "80:45")):
        chain = f"scale={size}:flags=area,format=yuv444p"
        judge.ffmpeg("-i", str(bunny), "-vf", chain, "-frames:v", "3", "-c:v", "ffv1", str(path))
    with pytest.raises(UsageError, match=r"80x45.*160x90.*resize"):
        vsr.metrics(ref, half)
    found: dict[Kernel, float] = {}
    kernels: tuple[Kernel, ...] = ("nearest", "lanczos")
    for kernel in kernels:
        options = vsr.MetricsOptions(metrics=("psnr", "ssim"), resize=kernel)
        found[kernel] = vsr.metrics(ref, half, options).score("ssim").mean
    assert 0.3 < found["nearest"] < found["lanczos"] < 1


def test_what_was_added_at_the_edge_is_cut_off(tmp_path: Path) -> None:
    ref = make(tmp_path / "r.mkv", "testsrc2=s=64x44:r=10:d=0.2")
    out = make(tmp_path / "o.mkv", "testsrc2=s=64x44:r=10:d=0.2,pad=66:48:0:0")
    with pytest.raises(UsageError, match="crop"):
        vsr.metrics(ref, out)
    report = vsr.metrics(ref, out, vsr.MetricsOptions(metrics=("psnr", "vmaf"), crop=True))
    assert report.score("psnr_y").mean == math.inf
    assert report.score("vmaf").worst > 90
    with pytest.raises(UsageError, match="resize"):  # nothing can be cut off here
        vsr.metrics(out, ref, vsr.MetricsOptions(crop=True))


def test_temporal_metrics_of_a_film_with_known_motion(tmp_path: Path) -> None:
    """The picture scrolls by 4 pixels a frame; the flow is handed in, so OpenCV is not needed."""
    picture = "testsrc2=s=176x96:r=10:d=0.1,loop=loop=5:size=1,setpts=N/(10*TB)"
    scroll = "crop=128:96:4*n:0"
    ref = make(tmp_path / "r.mkv", f"{picture},{scroll}", "-pix_fmt", "yuv444p")
    out = tmp_path / "o.mkv"
    judge.ffmpeg("-i", str(ref), "-vf", "noise=alls=30:allf=t", "-c:v", "ffv1", str(out))
    asked: list[tuple[int, ...]] = []

    def flow(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """4 to the left from a frame to the next, 4 to the right back: in turn, as it is asked."""
        asked.append(tuple(first.shape))
        field = torch.zeros(2, *first.shape)
        errors = [float((first[:, 4:] - second[:, :-4]).abs().mean()),
                  float((first[:, :-4] - second[:, 4:]).abs().mean())]  # fmt: skip
        field[0] = -4 if errors[0] < errors[1] else 4
        return field

    options = vsr.MetricsOptions(metrics=("warping", "tof", "flicker"))
    report = vsr.metrics(ref, out, options, flow=flow)
    assert set(asked) == {(96, 128)}
    assert report.score("warping_ref").worst < 1e-9
    assert report.score("seen").mean == pytest.approx(124 / 128)
    assert report.score("warping_out").mean > 1e-4
    assert report.score("tof").worst == 0
    assert report.score("tof").frames == report.pairs - 1
    assert math.isnan(report.values["tof"][0])


def test_tof_grows_with_an_error_of_motion(bunny: Path, tmp_path: Path) -> None:
    """Every second frame of OUT is shifted by `step` pixels."""
    pytest.importorskip("cv2", reason="needs OpenCV, of the extra `metrics`")
    films = []
    for step in (0, 2, 6):
        films.append(tmp_path / f"{step}.mkv")
        chain = f"crop=200:120:40+{step}*mod(n\\,2):30"
        judge.ffmpeg("-i", str(bunny), "-vf", chain, "-frames:v", "5", "-c:v", "ffv1",
                     str(films[-1]))  # fmt: skip
    options = vsr.MetricsOptions(metrics=("tof", "warping"))
    reports = [vsr.metrics(films[0], film, options) for film in films]
    errors = [report.score("tof").mean for report in reports]
    assert errors[0] == 0
    assert 1 < errors[1] < 3
    assert errors[1] * 2 < errors[2]
    warped = [report.score("warping_out").mean for report in reports]
    assert warped[0] == reports[0].score("warping_ref").mean
    assert warped[0] < warped[1] < warped[2]


def test_a_cut_has_no_temporal_numbers(tmp_path: Path) -> None:
    """Black, then white: nothing stands still and nothing was seen before."""
    graph = "color=black:s=64x64:r=10:d=0.3[a];color=white:s=64x64:r=10:d=0.3[b];[a][b]concat"
    ref = make(tmp_path / "r.mkv", graph)
    report = vsr.metrics(ref, ref, vsr.MetricsOptions(metrics=("flicker",)))
    assert [math.isnan(v) for v in report.values["flicker_out"]] == [True, *[False] * 2, True,
                                                                     *[False] * 2]  # fmt: skip
    assert report.score("flicker_out").worst == 0


def test_stills_and_folders(tmp_path: Path) -> None:
    film = make(tmp_path / "f.mkv", SOURCE, "-pix_fmt", "gbrp")
    (tmp_path / "shots").mkdir()
    judge.ffmpeg("-i", str(film), str(tmp_path / "shots" / "%03d.png"))
    options = vsr.MetricsOptions(metrics=("psnr",))
    for source in (tmp_path / "shots", tmp_path / "shots" / "%03d.png"):
        report = vsr.metrics(film, source, options)
        assert (report.pairs, report.only_ref, report.only_out) == (5, 0, 0)
        assert report.score("psnr_rgb").mean == math.inf
    still = tmp_path / "shots" / "001.png"
    report = vsr.metrics(still, still, vsr.MetricsOptions(metrics=("ssim", "flicker")))
    assert report.pairs == 1
    assert [score.name for score in report.scores] == ["ssim"]
    assert report.skipped == ("flicker: takes two frames that have something in common",)


def test_what_cannot_be_is_skipped_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make(tmp_path / "t.mkv", "testsrc2=s=16x8:r=5:d=0.4")
    report = vsr.metrics(tiny, tiny)
    assert [text.split(":")[0] for text in report.skipped] == ["ssim", "vmaf"]
    ref = make(tmp_path / "r.mkv", "testsrc2=s=64x64:r=5:d=0.4")
    with pytest.raises(UsageError, match="161"):
        vsr.metrics(ref, ref, vsr.MetricsOptions(metrics=("ms-ssim",)))
    # One that lacks nothing but libvmaf.
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\n"{judge.PROGRAM}" "$@" | grep -v libvmaf\n')
    program.chmod(0o755)
    monkeypatch.setenv("VSR_FFMPEG", str(program))
    with pytest.raises(FfmpegError, match=r"vmaf: .*built without libvmaf"):
        vsr.metrics(ref, ref, vsr.MetricsOptions(metrics=("vmaf",)))
    report = vsr.metrics(ref, ref)
    assert [text.split(":")[0] for text in report.skipped] == ["vmaf"]
    assert {score.name for score in report.scores} == {"psnr_y", "psnr_rgb", "ssim"}


def test_the_ffmpeg_of_the_tests_has_libvmaf() -> None:
    assert has_vmaf(), f"{judge.PROGRAM} has none: the tests above say nothing"


_CHILD = """
import resource, sys, torch, vsr
torch.set_num_threads(1)
for film in sys.argv[1:]:
    report = vsr.metrics(film, film, vsr.MetricsOptions(metrics=("psnr", "flicker")))
    print(report.pairs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    films = [
        judge.make(
            tmp_path / f"{count}.mkv", f"testsrc2=s=480x270:r=10:d={count / 10}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
        )
        for count in (10, 80)
    ]  # fmt: skip
    command = [sys.executable, "-c", _CHILD, *map(str, films)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (few, short), (many, long) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (few, many) == (10, 80)
    print(f"peak memory: {short / 1024:.0f} MB for 10 pairs, {long / 1024:.0f} MB for 80")
    assert long < short + 100_000  # a pair takes 4,000
