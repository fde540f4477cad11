"""What a person sees while a deployment comes up: one line for each part, which changes in place on a terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from compose.status import PartStatus

Report: TypeAlias = Callable[[Sequence[PartStatus], float], None]
"""Is told all parts at every look, and the seconds that have passed."""
_REMIND_SECONDS: Final = 20.0
_FRAMES_A_SECOND: Final = 8


@contextmanager
def shown(console: Console) -> Iterator[Report]:
    """Reports of the block are shown: in place where there is a terminal, else as lines."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, refresh_per_second=_FRAMES_A_SECOND) as live:
        yield _InPlace(live)


class _InPlace:
    """A row for each part, with the time at which it was ready first."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._since: dict[str, float] = {}
        self._spinner = Spinner("dots")

    def __call__(self, rows: Sequence[PartStatus], passed: float) -> None:
        table = Table.grid(padding=(0, 1))
        for ratio in (None, None, 1):
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        for row in rows:
            if row.ready:
                seconds = self._since.setdefault(row.part, passed)
                table.add_row("[green]✓[/]", row.part, f"ready ({seconds:.1f} s)")
            else:
                self._since.pop(row.part, None)
                table.add_row(self._spinner, row.part, f"waits for {row.brief}")
        self._live.update(table)


class _Lines:
    """A line when a part is ready, one when it is not any more, and a word now and then on what is missing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ready: set[str] = set()
        self._said = 0.0

    def __call__(self, rows: Sequence[PartStatus], passed: float) -> None:
        for row in rows:
            if row.ready and row.part not in self._ready:
                self._ready.add(row.part)
                self._say(f"{row.part}: ready ({passed:.1f} s)", passed)
            elif not row.ready and row.part in self._ready:
                self._ready.discard(row.part)
                self._say(f"{row.part}: not ready any more, waits for {row.brief} ({passed:.1f} s)", passed)
        if passed - self._said > _REMIND_SECONDS:
            missing = "; ".join(f"{row.part} waits for {row.brief}" for row in rows if not row.ready)
            self._say(f"after {passed:.0f} s: {missing}", passed)

    def _say(self, line: str, passed: float) -> None:
        self._said = passed
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
