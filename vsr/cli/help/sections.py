"""Help in two lengths: `-h` shows what is used most, `--help` everything, in sections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

# Of each group of options: its title, and two examples.
_SECTIONS = {
    "": ("General", ()),
    "model": (
        "Network",
        ("vsr upscale holiday.mp4 -m x4plus", "vsr upscale holiday.mp4 -m general --denoise 0.5"),
    ),
    "size": ("Size", ("vsr upscale film.mp4 -s 2", "vsr upscale dvd.mkv --height 1080 --square")),
    "device": (
        "Device and speed",
        ("vsr upscale film.mp4 --device cuda:1", "vsr upscale episode.mkv --reuse safe"),
    ),
    "temporal": (
        "Flicker and grain",
        ("vsr upscale episode.mkv --temporal-filter auto", "vsr upscale old.mkv --grain keep"),
    ),
    "source": (
        "What is read",
        (
            "vsr upscale film.mp4 --start 1:20 --end 1:30",
            "vsr upscale film.mp4 --clip 80+10 --clip 240f-480f",
        ),
    ),
    "colour": (
        "Colours of the source",
        ("vsr upscale old.avi --matrix bt601", "vsr upscale capture.mkv --range full"),
    ),
    "encode": (
        "How it is written",
        (
            "vsr upscale film.mp4 --codec h265 --crf 18",
            "vsr upscale film.mp4 -o small.gif --colours 64",
        ),
    ),
    "data": (
        "What is learnt from",
        (
            "vsr train clean/ -o my.safetensors --patch 128 --clips 16",
            "vsr train clean.mkv -o my.safetensors --paired damaged.mkv",
        ),
    ),
    "loss": (
        "Losses",
        (
            "vsr train clean/ -o my.safetensors --l1 0 --charbonnier 1",
            "vsr train clean/ -o gan.safetensors --from my.safetensors --stage gan --perceptual "
            "lite0",
        ),
    ),
    "schedule": (
        "How long, and how fast",
        (
            "vsr train clean/ -o my.safetensors --steps 50000 --decay",
            "vsr train clean/ -o my.safetensors --batch 4 --rate 1e-4",
        ),
    ),
    "jobs": (
        "Jobs",
        ("vsr upscale film.mp4 --segment 60", "vsr upscale film.mp4 --restart --overwrite"),
    ),
}


class SectionOption(click.Option):
    """An option that stands in a section of the help."""

    def __init__(
        self, *arguments: Any, section: str = "", common: bool = False, **settings: Any
    ) -> None:
        """Take what click's options take; `common`: it is in the short help, too."""
        super().__init__(*arguments, **settings)
        self.section = section
        self.common = common


class HelpInSections(click.Command):
    """A command whose help has sections, and a short form where it is long."""

    def __init__(self, *arguments: Any, examples: tuple[str, ...] = (), **settings: Any) -> None:
        """Take what click's commands take; `examples`: command lines for the short help."""
        super().__init__(*arguments, **settings)
        self.examples = examples
        self._is_long = any(_is_common(one) for one in self.params)
        self.params.append(help_option("--help-all", "", short=False, hidden=True))
        if self._is_long:
            told = "Show the options that are used most, and exit."
            self.params.append(help_option("-h", told, short=True))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options; where they are many, each under the title of its section."""
        sections: dict[str, list[click.Parameter]] = {}
        for one in self.get_params(ctx):
            section = one.section if self._is_long and isinstance(one, SectionOption) else ""
            sections.setdefault(section if section in _SECTIONS else "", []).append(one)
        general = sections.pop("", [])
        for section, options in sections.items():
            title, examples = _SECTIONS[section]
            _write(ctx, formatter, title, options)
            _write_examples(formatter, examples)
        _write(ctx, formatter, "General" if sections else "Options", general)

    def short_help_text(self, ctx: click.Context) -> str:
        """Return the help with the common options alone."""
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text((self.help or "").split("\n\n", maxsplit=1)[0])
        _write_examples(formatter, self.examples)
        _write(ctx, formatter, "Used most", [o for o in self.get_params(ctx) if _is_common(o)])
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} --help has all options, in sections.")
        return formatter.getvalue().rstrip("\n")


def _is_common(one: click.Parameter) -> bool:
    return isinstance(one, SectionOption) and one.common


def _write_examples(formatter: click.HelpFormatter, examples: Iterable[str]) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}$ {example}\n")


def help_option(flag: str, told: str, *, short: bool, hidden: bool = False) -> click.Option:
    """Return an option that shows a command's help, and ends."""

    def show(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            command = context.command
            if short and isinstance(command, HelpInSections):
                click.echo(command.short_help_text(context))
            else:
                click.echo(command.get_help(context))
            context.exit()

    return click.Option(
        [flag], is_flag=True, is_eager=True, expose_value=False, hidden=hidden, help=told,
        callback=show,
    )  # fmt: skip


def _write(
    context: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: Iterable[click.Parameter],
) -> None:
    named = (one for one in options if not isinstance(one, click.Argument))
    records = [record for one in named if (record := one.get_help_record(context)) is not None]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)
