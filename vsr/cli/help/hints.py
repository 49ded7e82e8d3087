"""What was probably meant by a word that vsr does not know."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator, Set
from difflib import get_close_matches
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
_PARTS = {  # of commands that have commands
    ("rm", "delete", "del", "clear", "forget", "drop", "cancel", "uninstall"): "remove",
    ("ls", "all"): "list",
    ("continue", "start", "go"): "resume",
    ("info", "describe", "cat", "view", "print"): "show",
    ("download", "get", "pull"): "fetch",
    ("install",): "add",
    ("check", "test"): "verify",
    ("new", "create", "make"): "save",
}
_DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"  # what word processors make of hyphens


def _said(table: dict[tuple[str, ...], str], word: str) -> str | None:
    return next((said for words, said in table.items() if word in words), None)


def command_hint(word: str, known: Collection[str]) -> str:
    """Return what to say of a command that there is none of."""
    near = get_close_matches(word.casefold(), known, n=1)
    meant = _said(_COMMANDS, word.casefold()) or (near[0] if near else None)
    if meant is None:
        return f"no command, and no file, is called {word!r}; vsr --help lists the commands"
    return f"no command, and no file, is called {word!r}; did you mean vsr {meant}?"


class HintingGroup(click.Group):
    """A command of commands that says which was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what there is."""
        word, known = args[0], self.list_commands(ctx)
        if word not in known and not word.startswith("-") and not ctx.resilient_parsing:
            meant = _said(_PARTS, word.casefold())
            near = [meant] if meant in known else get_close_matches(word.casefold(), known, n=1)
            hint = f"did you mean {ctx.command_path} {near[0]}?" if near else None
            hint = hint or f"{ctx.command_path} has {', '.join(known)}"
            raise click.UsageError(f"No such command {word!r}; {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)


class HintingCommand(HelpInSections):
    """A command that says what was probably meant by an option that it does not have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and add to the error what other programs' options are called here."""
        own = {flag for one in self.params for flag in (*one.opts, *one.secondary_opts)}
        for word in args[: args.index("--")] if "--" in args else args:
            plain = _with_hyphens(word)
            # Click would take `-ss` for `-s s`.
            if word[:1] == "-" and word[1:2] != "-" and len(word) > 2 and word not in own:
                _refuse(word, own, ctx)
            if plain != word and plain in own:
                raise click.NoSuchOption(word, f"No such option {word!r}; here: {plain}", ctx=ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse(error.option_name, own, ctx)
            if holders := ", ".join(_holders(error.option_name, ctx)):
                said = f"No such option {error.option_name!r} here; {holders} can take it"
                raise click.NoSuchOption(error.option_name, said, ctx=ctx) from error
            raise


def _with_hyphens(word: str) -> str:
    """Return a word that begins like a long option, by one hyphen or other dashes, with two."""
    begin = word.lstrip(f"-{_DASHES}")
    is_one = len(begin) == len(word) - 1 and len(begin) > 1
    if is_one or set(word[: len(word) - len(begin)]) & set(_DASHES):
        return f"--{begin.partition('=')[0]}"
    return word


def _holders(flag: str, context: click.Context) -> Iterator[str]:
    """Yield the commands beside this one that have an option of exactly that name."""
    root = context.find_root()
    waiting = deque([(root.command, root.command_path)])
    while waiting:
        command, path = waiting.popleft()
        if isinstance(command, click.Group):
            for name in command.list_commands(root):
                if (part := command.get_command(root, name)) is not None:
                    waiting.append((part, f"{path} {name}"))
        elif any(flag in (*one.opts, *one.secondary_opts) for one in command.params):
            yield path


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
