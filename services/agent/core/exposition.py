"""Prometheus text format for families whose exact names the client library does not keep."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "histogram"]
Sample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Full name, labels, value."""


def family(name: str, kind: Kind, text: str, samples: Iterable[Sample]) -> str:
    """One family with its help and type. A family without samples shows these alone."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [_line(sample, labels, value) for sample, labels, value in samples]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = str(int(value)) if float(value).is_integer() else repr(float(value))
    return f"{name}{{{written}}} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
