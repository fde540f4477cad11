"""What was deployed from a home, so that later commands need not be told again: its kind, its settings, its addresses.

One file for each kind, `deployed/process.json` and `deployed/compose.json`; `cli.json` has the addresses of the last.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from compose import seldon_command
from compose.process import broker
from compose.process.common import address
from compose.process.home import Home
from compose.process.settings import Settings

Runtime: TypeAlias = Literal["process", "compose"]
_SECRET: Final = re.compile("PASSWORD|SECRET|TOKEN|CREDENTIAL")
RUNTIMES: Final[tuple[Runtime, ...]] = get_args(Runtime)


@dataclass(frozen=True)
class Deployment:
    """Settings with the offset on every port, and names of optional parts that were left out."""

    values: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def remember(home: Home, runtime: Runtime, settings: Settings, left_out: Iterable[str] = ()) -> None:
    """From now on `recall` gives these, and the home's `seldon` talks to this deployment."""
    content = {"settings": dict(settings.values), "left_out": sorted(left_out)}
    _write(_file(home, runtime), content)
    _write(seldon_command.addresses_file(home), addresses(settings))
    seldon_command.install(home)


def recall(home: Home, runtime: Runtime) -> Deployment | None:
    """None when nothing of this kind is deployed."""
    try:
        content = json.loads(_file(home, runtime).read_text())
        return Deployment(dict(content["settings"]), tuple(content["left_out"]))
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged file is as good as none: the settings of now are then the best guess.
        return None


def forget(home: Home, runtime: Runtime) -> None:
    """It is gone; `seldon` talks to what is left, or goes on saying that the one that is gone does not answer."""
    _file(home, runtime).unlink(missing_ok=True)
    for other in deployed(home):
        if (left := recall(home, other)) is not None:
            _write(seldon_command.addresses_file(home), addresses(Settings(left.values)))


def deployed(home: Home) -> list[Runtime]:
    return [runtime for runtime in RUNTIMES if recall(home, runtime) is not None]


def changes(home: Home, runtime: Runtime, settings: Settings) -> list[str]:
    """What deploying with these settings changes about what is deployed, one `NAME=value (was value)` for each setting.

    Ports that only follow the offset are left out, and so is what may be a secret, but for its name.
    """
    before = recall(home, runtime)
    if before is None:
        return []
    moved = int(settings["SELDON_PORT_OFFSET"]) - int(before.values.get("SELDON_PORT_OFFSET", "0"))
    found = []
    for name in sorted(settings.values.keys() | before.values.keys()):
        now, then = settings.values.get(name), before.values.get(name)
        follows = name.endswith("_PORT") and now and then and int(now) == int(then) + moved
        if now != then and not follows:
            found.append(name if _SECRET.search(name) else f"{name}={now or ''} (was {then or 'empty'})")
    return found


def addresses(settings: Settings) -> dict[str, Any]:
    """A configuration file of the `seldon` command."""
    namespace = settings.values.get("SELDON_POD_NAMESPACE", "")
    return {
        "dataplane": {"inferHost": address(settings, settings.port("ENVOY_DATA_PORT"))},
        "controlplane": {
            "schedulerHost": address(settings, settings.port("SCHEDULER_SERVER_PORT")),
            "schedulerHttpHost": address(settings, settings.port("SCHEDULER_HEALTH_PORT")),
        },
        "kafka": {
            "bootstrap": broker.servers(settings),
            **({"namespace": namespace} if namespace else {}),
        },
    }


def _file(home: Home, runtime: Runtime) -> Path:
    return home.root / "deployed" / f"{runtime}.json"


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all, and for nobody else: settings may hold secrets."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    with open(fresh, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as written:
        written.write(json.dumps(content, indent=2) + "\n")
    fresh.replace(file)
