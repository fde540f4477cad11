"""Which model a proxied request is for: headers and REST paths."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.agent.core.holdings import Holdings
from shared.errors import NotFound
from shared.names import HEADER_INTERNAL_MODEL, HEADER_MODEL

_MODEL_PATH = re.compile(r"/v2/models/[^/?]+(?:/versions/[^/?]+)?(?P<rest>[/?].*)?", re.DOTALL)


@dataclass(frozen=True)
class Addressed:
    """The values of the two headers that name a model; "" stands for a missing one."""

    internal: str
    external: str

    @classmethod
    def of(cls, headers: Iterable[tuple[str, str]]) -> "Addressed":
        """From lower-case header names and values. Of several values the last one counts: proxies add theirs behind."""
        last = {HEADER_INTERNAL_MODEL: "", HEADER_MODEL: ""}
        for name, value in headers:
            if name in last:
                last[name] = value.rpartition(",")[2].strip()
        return cls(last[HEADER_INTERNAL_MODEL], last[HEADER_MODEL])

    def __bool__(self) -> bool:
        return bool(self.internal or self.external)


def resolve(addressed: Addressed, holdings: Holdings) -> str:
    """The internal name that a request means. Raises NotFound when this replica holds no such model."""
    if addressed.internal:
        if holdings.get(addressed.internal) is None:
            raise NotFound(f"model {addressed.internal} is not on this replica")
        return addressed.internal
    newest = holdings.highest_version(addressed.external)
    if newest is None:
        raise NotFound(f"no version of model {addressed.external} is on this replica")
    return newest.internal


def is_model_path(path: str) -> bool:
    return _MODEL_PATH.fullmatch(path) is not None


def rewrite_path(path: str, internal: str) -> str:
    """`/v2/models/<any>[/versions/<any>]<rest>` under the internal name and without a version; others as they are."""
    match = _MODEL_PATH.fullmatch(path)
    return path if match is None else f"/v2/models/{internal}{match['rest'] or ''}"
