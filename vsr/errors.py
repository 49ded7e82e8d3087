"""Everything that vsr raises on purpose.

    VsrError                     1  the run failed
    ├── OutputError              1  the result could not be written
    │   ├── OutputExists         2  ... because something is there already
    │   └── SoundLost            1  ... with any of the source's sound
    ├── FfmpegError              1  the ffmpeg program is missing or refused
    ├── UsageError               2  options that do not go together, or name nothing
    ├── InputError               3  the source is missing, unreadable or holds no picture
    ├── ModelError               4  no usable weights
    │   ├── UnknownModel         4  no model and no file of that name
    │   ├── BrokenWeights        4  a file that is not the network it should be
    │   └── DownloadError        4  weights could not be fetched
    ├── DeviceLost               1  a GPU failed, for as long as the process lives
    ├── OutOfMemory              5  after every fallback
    ├── Stopped                  6  before the end; the same command goes on
    └── Interrupted            130  stopped by the user; nothing is kept

The number is the exit code of the command line. A message is one line that
names the thing, says what is wrong with it and, where there is a way out, what
to do. An option is named by its place in the options tree, `<size.scale>`: each
front end shows the name that its users know (`worded`), and `str(error)` the
field's own. Each class also inherits the builtin that a caller might expect.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

# What the system says of a disk in its own words, and what that means.
_MEANS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the user's share of the disk is used up; make room",
    errno.EFBIG: "the file system or `ulimit -f` allows no file of that size; write elsewhere",
}


def cause(error: OSError) -> str:
    """Return what the system says went wrong, and of a disk what that means."""
    said = error.strerror or str(error) or type(error).__name__
    means = _MEANS.get(error.errno) if error.errno is not None else None
    return said if means is None else f"{said}: {means}"


# The groups of the options trees, so that a file's name in angle brackets stays what it is.
_OPTION = re.compile(
    r"<((?:(?:model|size|device|temporal|source|colour|encode|jobs|metrics"
    r"|data|loss|schedule|train|finetune)\.\w+)|output|separate|like)>"
)


def worded(text: str, names: Mapping[str, str] | None = None) -> str:
    """Show the options that a message names by `names`, or by their fields' own names."""
    names = names or {}
    return _OPTION.sub(lambda found: names.get(found[1], found[1].rpartition(".")[2]), text)


class VsrError(Exception):
    """Base of all errors that vsr raises on purpose."""

    exit_code: ClassVar[int] = 1

    @property
    def text(self) -> str:
        """The message as it was raised, with the places of the options that it names."""
        return super().__str__()

    @property
    def options(self) -> tuple[str, ...]:
        """The options that the message names, by their places: `size.scale`."""
        return tuple(_OPTION.findall(self.text))

    def __str__(self) -> str:
        return worded(self.text)


class OutputError(VsrError, OSError):
    """The result could not be written (disk full, folder gone, no permission)."""


class OutputExists(OutputError, FileExistsError):
    """The output's name is taken and overwriting was not asked for."""

    exit_code = 2
    output: Path | None = None  # the file of that name, where it is one


class SoundLost(OutputError):
    """Nothing of the source's sound could be kept; the film without it is complete."""


class FfmpegError(VsrError, RuntimeError):
    """The ffmpeg program is missing, or ended with an error."""


class UsageError(VsrError, ValueError):
    """An option names nothing that exists, or two options contradict each other."""

    exit_code = 2


class InputError(VsrError, OSError):
    """The source is missing, cannot be read, or has no picture in it."""

    exit_code = 3


class ModelError(VsrError):
    """No usable weights."""

    exit_code = 4


class UnknownModel(ModelError, LookupError):
    """Neither the catalogue nor the file system knows this model."""


class BrokenWeights(ModelError, ValueError):
    """A weight file that is damaged, unsafe, or of no network that vsr knows."""


class MissingExtra(BrokenWeights):
    """A weight file that may be good, of a kind that only an extra knows, which is not here."""


class DownloadError(ModelError, OSError):
    """Weights could not be fetched, or what came is not what was promised."""


class OutOfMemory(VsrError, MemoryError):
    """The smallest batch and the smallest tile still do not fit."""

    exit_code = 5


class DeviceLost(VsrError):
    """A kernel failed on a GPU, which can do nothing more for this process."""


NO_MEMORY = "out of memory: close other programs, or raise the limit (ulimit -v, a container's)"


class Stopped(VsrError):
    """The job was stopped, or had to stop; what is finished is kept and is gone on from."""

    exit_code = 6


class Interrupted(VsrError):
    """The user stopped the run; nothing half-made is left under the output's name."""

    exit_code = 130
