"""What was probably meant by a word that vsr does not know."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Set
from typing import Any

import click

from vsr.cli.help.sections import HelpInSections

# What other programs call it, and what is said of it here.
_OPTIONS = {
    ("-i", "--input"): "name the film alone, vsr upscale film.mp4",
    ("--out", "--outfile", "--output-dir", "--outdir", "--output_dir"): "-o names a file or folder",
    ("--outscale", "--factor", "--upscale", "--scale-factor", "-x"): "-s 2 enlarges by a factor",
    ("-w", "--width", "--resolution", "--res"): "--size 1920x1080 or --height 1080",
    ("-g", "--gpu", "--gpu-id", "--gpu_id", "--cuda", "--gpus"): "--device cuda or cuda:1",
    ("--cpu",): "--device cpu",
    ("--fp32", "--fp16", "--half", "--bf16"): "--precision fp32, fp16 or bf16",
    ("-n", "--model_name", "--model-name", "--network", "--model_path"): "-m names the network",
    ("--tile_size", "--tile-size", "--tilesize"): "--tile",
    ("--tile_pad", "--tile-pad", "--pre_pad"): "--tile-overlap",
    ("--denoise_strength", "-dn", "--noise", "--noise-level"): "--denoise 0.5, with -m general",
    ("--face_enhance", "--face-enhance", "--faces"): "vsr has no network for faces",
    ("--tta", "--tta-mode"): "vsr does not average turned copies",
    ("--interpolate", "--interpolation"): "vsr makes no frames between frames",
    ("-f", "--ext", "--format", "--container"): "the suffix of -o chooses the container: -o x.mkv",
    ("--suffix",): "-o names the result",
    ("-y", "--yes", "--force"): "--overwrite replaces the result",
    ("-b", "-b:v", "--bitrate", "--quality", "-q:v", "--qp"): "--crf sets the quality, lower is "
    "better",
    ("-c:v", "-vcodec", "--vcodec", "--encoder"): "--codec",
    ("-r", "--framerate", "--frame-rate"): "a film keeps its times; --fps is for pictures",
    ("--resume", "--continue"): "the same command goes on by itself; vsr jobs lists what was begun",
    ("-v", "--verbose", "--debug"): "VSR_DEBUG=1 shows where an error comes from",
    ("-an", "--mute", "--no-sound", "--noaudio"): "--no-audio",
    ("--dry-run", "--dryrun"): "vsr probe shows what would be done",
    ("-ss", "--from", "--begin"): "--start 1:20",
    ("-to", "--to", "--until"): "--end 1:30",
    ("--profile", "--for-what", "--use"): "--for anime; vsr presets lists them",
    ("-j", "--parallel", "--processes", "--nb_workers"): "--workers",
    ("--fast", "--speed"): "--for fast",
    ("--best", "--hq"): "--for best",
    ("--stabilize", "--stabilise", "--flicker", "--temporal"): "--temporal-filter auto",
    ("--subs", "--subtitles", "--copy-subs"): "subtitles are kept by themselves",
}
_COMMANDS = {
    ("enlarge", "run", "convert", "encode", "video", "image", "enhance", "process"): "upscale",
    ("info", "inspect", "show", "analyse", "analyze", "ffprobe", "estimate"): "probe",
    ("compare", "psnr", "ssim", "vmaf", "quality", "score"): "metrics",
    ("benchmark", "speed", "profile"): "bench",
    ("resume", "continue"): "jobs resume",
    ("status", "queue", "list"): "jobs",
    ("download", "fetch"): "models fetch",
    ("networks", "weights"): "models",
    ("check", "diagnose", "doc", "system", "env"): "doctor",
    ("config", "settings", "profiles", "for"): "presets",
    ("help",): "--help",
    ("version",): "--version",
    ("learn", "teach"): "train",
}


def _said(table: dict[tuple[str, ...], str], word: str) -> str | None:
    return next((said for words, said in table.items() if word in words), None)


def command_hint(word: str, known: Collection[str]) -> str:
    """Return what to say of a command that there is none of."""
    near = difflib.get_close_matches(word.casefold(), known, n=1)
    meant = _said(_COMMANDS, word.casefold()) or (near[0] if near else None)
    if meant is None:
        return f"no command, and no file, is called {word!r}; vsr --help lists the commands"
    return f"no command, and no file, is called {word!r}; did you mean vsr {meant}?"


class HintingCommand(HelpInSections):
    """A command that says what was probably meant by an option that it does not have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and add to the error what other programs' options are called here."""
        own = {flag for one in self.params for flag in (*one.opts, *one.secondary_opts)}
        for word in args[: args.index("--")] if "--" in args else args:
            # Click would take `-ss` for `-s s`.
            if word[:1] == "-" and word[1:2] != "-" and len(word) > 2 and word not in own:
                _refuse(word, own, ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse(error.option_name, own, ctx)
            raise


def _refuse(word: str, own: Set[str], context: click.Context) -> None:
    """Say what is meant by another program's option, if the command has that: its `own` flags."""
    hint = _said(_OPTIONS, word)
    if hint is not None and own >= _flags(hint):
        raise click.NoSuchOption(word, f"No such option {word!r}; here: {hint}", ctx=context)


def _flags(hint: str) -> Set[str]:
    return set(re.findall(r"(?<!\S)--?[a-z][\w-]*", hint))


def misplaced(word: str, context: click.Context) -> Any:
    """Refuse an option of a command's that stands before the command."""
    raise click.NoSuchOption(
        word,
        f"No such option {word!r} here: options follow the command, vsr upscale {word} ...",
        ctx=context,
    )
