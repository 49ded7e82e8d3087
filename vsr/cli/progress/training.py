"""The bar of commands that train: steps, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Never, Self

from tqdm import tqdm


class TrainingBar:
    """Hears of each step. Shows on a terminal only."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: tqdm[Never] | None = None
        self._shown: dict[str, str] = {}

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show a step and its numbers."""
        if self._bar is None:
            disable = True if self._quiet else None
            self._bar = tqdm(unit="step", initial=step - 1, disable=disable, dynamic_ncols=True)
        for name in ("l1", "charbonnier", "gan", "psnr"):
            if name in numbers:
                self._shown[name] = f"{numbers[name]:.4g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(step - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
