"""Files of metrics."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from simplepipe.core.metric import Metric
from simplepipe.core.parsing import decoded, parse_metrics
from simplepipe.errors import InvalidFile

_LARGEST_BYTES = 64 * 1024 * 1024


def load_metrics_from_file(fp: str | PathLike[str]) -> list[Metric]:
    """The metrics of a `.json` file. Raises InvalidFile and InvalidMetrics, which are ValueErrors."""
    file = Path(fp)
    if file.suffix.lower() != ".json":
        raise InvalidFile(f"Invalid filetype {file.suffix!r} of {file}: give a .json file")
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidFile(f"cannot read {file}: {error.strerror}") from error
    if len(content) > _LARGEST_BYTES:
        raise InvalidFile(f"{file} has more than {_LARGEST_BYTES} bytes: push it in parts, under several jobs")
    return parse_metrics(decoded(content, str(file)))
