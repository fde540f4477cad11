"""Which names Prometheus and the Pushgateway take. Pure: every function gives what is wrong, or an empty text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from simplepipe.errors import InvalidArgument

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OF_THE_GATEWAY = frozenset({"push_time_seconds", "push_failure_time_seconds"})
OWN_PREFIX = "simplepipe_"
CLAIM = f"{OWN_PREFIX}job_lease_seconds"
"""The metric by which a live job holds its name."""
RUN_LABEL, HOST_LABEL = f"{OWN_PREFIX}run", f"{OWN_PREFIX}host"
"""Of that metric. A Pushgateway puts the grouping key over every metric's labels, so none may have these names."""


def wrong_metric_name(name: str) -> str:
    if not _METRIC.fullmatch(name):
        return "write letters, digits, underscores and colons, and no digit first"
    if name in _OF_THE_GATEWAY:
        return "the Pushgateway sets this one itself: take another name"
    return ""


def wrong_label_name(name: str) -> str:
    if not _LABEL.fullmatch(name):
        return "write letters, digits and underscores, and no digit first"
    if name.startswith("__"):
        return "names that begin with two underscores belong to Prometheus"
    if name.startswith(OWN_PREFIX):
        return f"names that begin with {OWN_PREFIX} are for live jobs: take another name"
    if name == "job":
        return "the job's name is given with the push: take another name"
    return ""


def checked_job(name: str) -> str:
    """Raises InvalidArgument for a name that the Pushgateway could not keep apart from others."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgument("job", name, "give the job a name")
    if not name.strip("."):
        raise InvalidArgument("job", name, "write something other than dots")
    if not _can_be_sent(name):
        raise InvalidArgument("job", name, "write text that UTF-8 can hold")
    return name


def checked_grouping(key: Mapping[str, str]) -> dict[str, str]:
    """Sorted by name. Raises InvalidArgument for labels that cannot name a group."""
    for name, value in key.items():
        if not isinstance(name, str) or (wrong := wrong_label_name(name)):
            raise InvalidArgument("grouping key", name, wrong if isinstance(name, str) else "write text")
        if not isinstance(value, str) or not _can_be_sent(value):
            raise InvalidArgument(f"value of grouping key {name}", value, "write text")
        if value and not value.strip("."):
            raise InvalidArgument(f"value of grouping key {name}", value, "write something other than dots")
    return dict(sorted(key.items()))


def _can_be_sent(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
