"""Envoy's statistics, read as the counts of one replica. Pure text in, counts out."""

import re
from typing import Final, NamedTuple

from services.agent.core.inference_counts import (
    BOUNDS,
    BUCKET,
    GRPC,
    INFINITE,
    SECONDS,
    SUM,
    TOTAL,
    Counts,
    Series,
    bound_text,
)

_PREFIX: Final = "envoy_seldon_model_infer_"
_SAMPLE: Final = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_MICROSECONDS: Final = 1e6
_BOUND_TEXTS: Final = {round(bound * _MICROSECONDS): bound_text(bound) for bound in BOUNDS}
_CODE_OF_STATUS: Final = {
    "400": "Internal",
    "401": "Unauthenticated",
    "403": "PermissionDenied",
    "404": "Unimplemented",
    "429": "Unavailable",
    "502": "Unavailable",
    "503": "Unavailable",
    "504": "Unavailable",
}
"""How gRPC reads an answer without a gRPC status."""


class Snapshot(NamedTuple):
    """What one Envoy counted since its start, `uptime` seconds ago."""

    uptime: float
    counts: Counts


def names_filter(server: str, replica: str) -> str:
    """A regular expression for Envoy's own names of the statistics that `snapshot` reads."""
    own = rf"\.server\.{re.escape(server)}\.server_replica\.{re.escape(replica)}\."
    return rf"^seldon\.model_infer.*{own}|^server\.(live|uptime)$"


def snapshot(text: str, server: str, replica: str) -> Snapshot:
    """The samples of one replica. Raises ValueError when this is not what an Envoy of ours answers."""
    counts: dict[Series, float] = {}
    uptime, live = 0.0, False
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        if sample["name"] == "envoy_server_uptime":
            # Not there in the first seconds of a process.
            uptime = float(sample["value"])
        elif sample["name"] == "envoy_server_live":
            live = True
        elif sample["name"].startswith(_PREFIX):
            labels = dict(_LABEL.findall(sample["labels"]))
            if (labels.get("server"), labels.get("server_replica")) == (server, replica):
                made = _series(sample["name"].removeprefix(_PREFIX), labels, float(sample["value"]))
                if made is not None:
                    counts[made[0]] = counts.get(made[0], 0.0) + made[1]
    if not live:
        raise ValueError("the answer is not that of an Envoy")
    return Snapshot(uptime, counts)


def _series(name: str, labels: dict[str, str], value: float) -> tuple[Series, float] | None:
    """`via` is added up: whether the server or its agent answered, it is one call."""
    grpc = labels["method_type"] == GRPC
    code = (labels["grpc_code"] or _CODE_OF_STATUS.get(labels["code"], "Unknown")) if grpc else labels["code"]
    if name in ("total", "microseconds"):
        of_call = (labels["model"], labels["model_internal"], labels["method_type"], code)
        if name == "total":
            return Series(TOTAL, of_call), value
        return Series(SECONDS, of_call), value / _MICROSECONDS
    method = GRPC if grpc else labels["verb"].lower()
    if name == "api_bucket":
        le = labels["le"]
        text = le if le == INFINITE else _BOUND_TEXTS.get(round(float(le)))
        return None if text is None else (Series(BUCKET, (method, code, text)), value)
    # What remains is the count, which the last bucket tells too.
    return (Series(SUM, (method, code)), value / _MICROSECONDS) if name == "api_sum" else None
