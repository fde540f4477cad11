"""P8: what the control plane costs when nothing happens."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.table import Row

_MEGABYTE = 1_000_000
_WINDOW_SECONDS = 10


def _rss(pid: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu(pid: int) -> float:
    """Seconds of CPU used since the process began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_rows(ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[Row]:
    """Name to process id. The bars are for `ours` together; `theirs` is shown beside."""
    before = {pid: _cpu(pid) for pid in (*ours.values(), *theirs.values())}
    time.sleep(_WINDOW_SECONDS)
    load = {pid: (_cpu(pid) - before[pid]) / _WINDOW_SECONDS * 100 for pid in before}
    memory = sum(_rss(pid) for pid in ours.values()) / _MEGABYTE
    share = sum(load[pid] for pid in ours.values())

    def each(parts: Mapping[str, int], figure: Mapping[int, float], unit: str) -> str:
        return ", ".join(f"{name} {figure[pid]:.0f} {unit}" for name, pid in parts.items())

    sizes = {pid: _rss(pid) / _MEGABYTE for pid in before}
    return [
        Row(
            "P8",
            "idle with 3 models: memory of our processes",
            f"{memory:.0f} MB",
            "< 600 MB",
            memory < 600,
            f"{each(ours, sizes, 'MB')} (beside them {each(theirs, sizes, 'MB')})",
        ),
        Row(
            "P8",
            "idle with 3 models: CPU of our processes",
            f"{share:.1f} % of a core",
            "< 5 %",
            share < 5,
            f"beside them {each(theirs, load, '%')}",
        ),
    ]
