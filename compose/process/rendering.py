"""Configuration files of the parts, made from templates and settings. Pure text in, text out."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import yaml

from compose.process.program import Program
from shared.errors import InvalidInput

_LOG_BYTES = 10 * 1024 * 1024
_LOG_FILES = 3
_ENDS_VALUE = re.compile(r"[\r\n]|\s[;#]")


def envoy(template: str, values: Mapping[str, str]) -> str:
    """Fill in `${NAME}`; `$$` stands for a dollar. Raises InvalidInput for a name without a value."""
    try:
        return Template(template).substitute(values)
    except KeyError as missing:
        raise InvalidInput(f"the Envoy bootstrap uses {missing.args[0]}: add it to .env") from None
    except ValueError as error:
        raise InvalidInput(f"the Envoy bootstrap has a stray dollar sign (write $$ for one): {error}") from None


def agent(remotes: Mapping[str, Path]) -> str:
    """The agents' configuration: rclone remotes by name, each an alias of a local folder, and public Google buckets."""
    documents: list[dict[str, object]] = [
        {"name": name, "type": "alias", "parameters": {"remote": str(folder)}} for name, folder in remotes.items()
    ]
    documents.append({"name": "gs", "type": "google cloud storage", "parameters": {"anonymous": True}})
    content = {"rclone": {"config": [json.dumps(document) for document in documents]}}
    return yaml.safe_dump(content, sort_keys=False, width=1000)


def supervisord(programs: Sequence[Program], socket: Path, run: Path, logs: Path, open_files: int) -> str:
    """supervisord's configuration. It restarts what ends, waiting one second longer each time a start fails.

    `open_files` is how many files and connections a process may have open.
    """
    sections = [
        _section("unix_http_server", {"file": socket, "chmod": "0700"}),
        _section(
            "supervisord",
            {
                "logfile": logs / "supervisord.log",
                "logfile_maxbytes": _LOG_BYTES,
                "logfile_backups": _LOG_FILES,
                "pidfile": run / "supervisord.pid",
                "childlogdir": logs,
                "minfds": open_files,
                "nodaemon": "false",
            },
        ),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        *(_program(program, logs) for program in programs),
    ]
    return "\n".join(sections)


def _program(program: Program, logs: Path) -> str:
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join(program.command),
            "directory": program.directory,
            "priority": 1 if program.stops_last else 999,
            "environment": _environment(program),
            "autostart": "true",
            "autorestart": "true",
            # Shorter lives count as failed starts, which are what the growing delay is for.
            "startsecs": 5,
            "startretries": 1_000_000,
            "stopasgroup": "true",
            "killasgroup": "true",
            "stopwaitsecs": program.stop_seconds,
            "redirect_stderr": "true",
            "stdout_logfile": logs / f"{program.name}.log",
            "stdout_logfile_maxbytes": _LOG_BYTES,
            "stdout_logfile_backups": _LOG_FILES,
        },
    )


def _environment(program: Program) -> str:
    for name, value in program.environment.items():
        if '"' in value or value.strip("'") != value:
            raise InvalidInput.of_field(name, value, "leave out quotes, supervisord cannot pass them on")
    return ",".join(f'{name}="{value}"' for name, value in sorted(program.environment.items()))


def _section(name: str, options: Mapping[str, object]) -> str:
    lines = [f"[{name}]", *(f"{option}={_escaped(name, option, str(value))}" for option, value in options.items())]
    return "\n".join(lines) + "\n"


def _escaped(section: str, option: str, value: str) -> str:
    # supervisord expands %(...)s, and ends a value at a line end or where it sees a comment.
    if _ENDS_VALUE.search(value):
        raise InvalidInput.of_field(f"{option} of {section}", value, "leave out line ends, ' ;' and ' #'")
    return value.replace("%", "%%")
