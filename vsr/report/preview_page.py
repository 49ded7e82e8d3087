"""The page of `vsr preview`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from vsr.errors import worded
from vsr.jobs.run.short_run import STEADY
from vsr.report.page import (
    bytes_in_words,
    command_block,
    document,
    picture_data,
    printable,
    table,
    text,
    time_in_words,
)
from vsr.report.preview import Preview, Scene
from vsr.report.settings import command, shown_names
from vsr.report.trial import Trial
from vsr.timing import clock

MOST_BYTES = 15_000_000  # of a page
_QUALITIES = (92, 85, 75, 60, 45, 30, 15)  # of its pictures, the first that fits
_SOURCE = "source, enlarged by bicubic"
_MODES = {
    "split": "Split",
    "side": "Side by side",
    "flip": "Flip",
    "difference": "Difference",
    "heat": "Invented",
    "doubt": "Unsure",
}
_KEYS = (
    ("Space", "the other picture"), ("n p", "next, previous moment"), ("r", "next setting"),
    ("s b f d h u", "split, side by side, flip, difference, invented, unsure"),
    ("[ ]", "the split"), ("+ − 0 1", "zoom; all of it; pixel for pixel"),
    ("arrows", "move"), ("l", "play"),
)  # fmt: skip


def preview_page(found: Preview) -> str:
    """Return the page, of at most `MOST_BYTES`, with pictures as good as fit."""
    for quality in _QUALITIES:
        page = _page(found, quality)
        if len(page.encode(errors="surrogateescape")) <= MOST_BYTES:
            break
    return page


def _page(found: Preview, quality: int) -> str:
    video = found.source.video
    name = found.source.path.name
    names = [_SOURCE, *(trial.setting.label for trial in found.trials)]
    size = f"{video.width}×{video.height} → {found.size[0]}×{found.size[1]}"
    body = [
        f'<p class="quiet">{text(size)}</p>',
        *(f'<p class="warning">{text(note)}</p>' for note in found.notes),
        *_controls(found.scenes, names),
        "<h2>Settings</h2>",
        _settings(found),
        "<h2>How to read it</h2>",
        *_help(),
    ]
    data = {
        "names": [printable(name) for name in names],
        "moments": [_moment(scene, quality) for scene in found.scenes],
    }
    return document(
        f"Preview of {name}",
        f"Preview of {text(name)}",
        body,
        scripts=("view.js", "viewer.js", "copy.js"),
        data=data,
    )


def _moment(scene: Scene, quality: int) -> dict[str, Any]:
    box, part = scene.box, scene.loop_box
    loop = scene.loop and {
        "data": base64.b64encode(scene.loop).decode(),
        "left": part.left - box.left,
        "top": part.top - box.top,
        "width": part.width,
        "height": part.height,
    }
    return {
        "time": time_in_words(scene.moment.seconds),
        "reason": scene.moment.reason,
        "width": box.width,
        "height": box.height,
        "pictures": [picture_data(picture, quality) for picture in scene.pictures],
        "heats": [None if heat is None else picture_data(heat, 60) for heat in scene.heats],
        "doubts": [None if one is None else picture_data(one, 60) for one in scene.doubts],
        "shares": scene.shares,
        "loop": loop,
    }


def _controls(scenes: Sequence[Scene], names: Sequence[str]) -> Iterator[str]:
    moments = [f"{time_in_words(s.moment.seconds)}, {s.moment.reason}" for s in scenes]
    yield '<div class="row" role="group" aria-label="What is compared">'
    yield _select("moment", "Moment", moments, 0)
    yield _select("left", "Left", names, 0)
    yield _select("right", "Right", names, 1, without_first=True)
    yield _button("play", "Play", pressed=False)
    yield "</div>"
    yield '<div class="row" role="group" aria-label="How it is compared">'
    for mode, said in _MODES.items():
        yield _button(f"mode-{mode}", said, pressed=mode == "split")
    for name, said in (("zoom-out", "Zoom out"), ("zoom-in", "Zoom in"), ("fit", "All of it")):
        yield _button(name, said)
    yield _button("actual", "Pixel for pixel")
    yield "</div>"
    yield '<canvas id="stage" tabindex="0" role="img" aria-label="The pictures"></canvas>'
    yield '<div class="row"><label for="split">Split</label>'
    yield '<input id="split" type="range" min="0" max="100" value="50"></div>'
    yield '<p id="said" class="quiet" aria-live="polite"></p>'
    yield "<noscript><p>The pictures need JavaScript; the settings below do not.</p></noscript>"
    keys = "; ".join(f"{' '.join(_key(k) for k in key.split())} {text(s)}" for key, s in _KEYS)
    yield f"<details><summary>Keys, mouse and touch</summary><p>{keys}. The wheel and two fingers"
    yield "zoom where they point; dragging moves all panes, or the split. A double click zooms in,"
    yield "or shows all of it.</p></details>"


def _key(name: str) -> str:
    return f"<kbd>{text(name)}</kbd>"


def _button(name: str, said: str, *, pressed: bool | None = None) -> str:
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return f'<button type="button" id="{name}"{state}>{text(said)}</button>'


def _select(
    name: str, said: str, values: Sequence[str], chosen: int, *, without_first: bool = False
) -> str:
    options = "".join(
        f'<option value="{n}"{" selected" if n == chosen else ""}>{text(value)}</option>'
        for n, value in enumerate(values)
        if n or not without_first
    )
    shown = f'<label for="{name}">{said}</label><select id="{name}">{options}</select>'
    return f'<span class="field">{shown}</span>'


def _settings(found: Preview) -> str:
    rows = [_row(found, number, trial) for number, trial in enumerate(found.trials, start=1)]
    head = ("Setting", "Time for the film", "Size of its picture", "Invented", "Command")
    frames = sum(trial.run.frames for trial in found.trials) // len(found.trials)
    return table(
        head,
        rows,
        caption=f"Times and sizes are carried over from a run of each setting; frames: {frames}."
        + (" So few say little; starting up counts in." if frames < STEADY else ""),
        name="settings",
    )


def _row(found: Preview, number: int, trial: Trial) -> list[str]:
    whole, speed = trial.expected, f"{trial.seconds_a_frame:.3g} s a frame"
    lasts = "unknown" if whole.seconds is None else f"about {clock(whole.seconds)}"
    size = "unknown" if whole.bytes is None else f"about {bytes_in_words(whole.bytes)}"
    if whole.bytes is not None and not trial.is_size_measured:
        size += ', <span class="quiet">by rule of thumb</span>'
    shares = [share for scene in found.scenes if (share := scene.shares[number]) is not None]
    invented = f"{sum(shares) / len(shares):.0%} of the detail" if shares else "nothing"
    target = trial.plan.target
    what = f"{target.width}×{target.height}, {trial.plan.encoder.description}"
    warned = "".join(
        f'<br><span class="warning">{text(worded(warning, shown_names()))}</span>'
        for warning in trial.run.warnings
    )
    return [
        f'{text(trial.setting.label)}<br><span class="quiet">{text(what)}</span>{warned}',
        f'{lasts}<br><span class="quiet">{speed}</span>',
        size,
        invented,
        command_block(command(found.source.path, trial.setting.options)),
    ]


def _help() -> Iterator[str]:
    yield "<p>Every picture went through the whole of vsr, encoder included, as it would with the"
    yield "command beside it. Results of other sizes are brought to that of the first.</p>"
    yield "<p><strong>Invented</strong> is what a result shows and its source does not say: the"
    yield "part of it that vanishes when it is made smaller again, beyond the sharpest classical"
    yield "enlargement. Violet is faint, orange and yellow are strong. It may look right, and be"
    yield "right; no program can tell. Look there at faces, letters and patterns.</p>"
    yield "<p><strong>Unsure</strong> is where the network draws something else when it is shown"
    yield "the picture mirrored. There it guesses, and is wrong most often, above all where the"
    yield "source is compressed or noisy. It is left out where it would take longer than"
    yield "<code>--seconds</code>.</p>"
    yield "<p><strong>Difference</strong> is black where both pictures are the same, and four times"
    yield "as bright as what they differ by.</p>"
