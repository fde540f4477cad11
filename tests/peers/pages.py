"""Commands of a page of the documentation, with the outputs that it promises."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    text: str
    output: str


def commands(page: Path) -> Iterator[Command]:
    """In order: what stands behind `$ ` in console blocks, and the lines below it."""
    for block in _BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, _, output = part.partition("\n")
            yield Command(text, output.strip())


def fits(promised: str, printed: str) -> bool:
    """`...` stands for anything."""
    pattern = ".*".join(re.escape(piece) for piece in promised.split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
