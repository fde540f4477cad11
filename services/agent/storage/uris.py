"""Where an artifact comes from: storage URIs and rclone remotes, as text for rclone."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml
from mlops.scheduler import scheduler_pb2

from shared.errors import InvalidInput
from shared.fnv import fnv1a_32

_NAME = re.compile(r"[\w.+@-]+(?: [\w.+@-]+)*")
_WEB: Final = "http"
_OPTION = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Remote:
    """One rclone remote: `name` is the scheme of the URIs it serves, `type` one of rclone's backends."""

    name: str
    type: str
    parameters: Mapping[str, str]


def parse_remote(document: object) -> Remote:
    """A remote from JSON or YAML text, or from what such text was parsed to. Raises InvalidInput."""
    content = _parse(document) if isinstance(document, str) else document
    if not isinstance(content, dict):
        raise InvalidInput("the rclone config is not a mapping: write name, type and parameters")
    missing = [key for key in ("name", "type", "parameters") if key not in content]
    if missing:
        raise InvalidInput(f"the rclone config has no {missing[0]!r}: write name, type and parameters")
    name, kind, parameters = str(content["name"]), str(content["type"]), content["parameters"]
    for field, value in (("name", name), ("type", kind)):
        if _NAME.fullmatch(value) is None or value.startswith("-"):
            raise InvalidInput.of_field(
                f"rclone config {field}", value, "use letters, digits, '_', '-', '.' and inner spaces"
            )
    if not isinstance(parameters, dict):
        raise InvalidInput.of_field("rclone config parameters", parameters, "write a mapping of option to value")
    for key, value in parameters.items():
        if not isinstance(key, str) or _OPTION.fullmatch(key) is None or key.startswith("-"):
            raise InvalidInput.of_field("rclone config option", key, "use letters, digits, '_' and '-'")
        if isinstance(value, dict | list):
            raise InvalidInput.of_field(f"rclone config option {key}", value, "write one text, number or boolean")
    return Remote(name, kind, {key: _as_text(value) for key, value in parameters.items()})


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        # The text holds credentials: say where it is wrong, never what it says.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"the rclone config is neither JSON nor YAML{where}") from None


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def source_of(uri: str, config: scheduler_pb2.StorageConfig, types: Mapping[str, str] = MappingProxyType({})) -> str:
    """What rclone calls the artifact. A result that starts with `/` is a local folder. Raises InvalidInput.

    `types` are those of the remotes in rclone's configuration, by name.
    """
    uri = uri.strip()
    if not uri:
        raise InvalidInput.of_field("storageUri", uri, "name a folder such as gs://bucket/model or /mnt/models/model")
    choice = config.WhichOneof("config")
    if choice == "storageSecretName":
        raise InvalidInput(
            f"storageSecretName {config.storageSecretName!r} names a Kubernetes secret, and this is not Kubernetes: "
            "use storageRcloneConfig, or list the remote under rclone.config in the agent's configuration file"
        )
    if "\x00" in uri:
        raise InvalidInput.of_field("storageUri", uri, "remove the NUL character")
    if choice == "storageRcloneConfig":
        return _inline(uri, parse_remote(config.storageRcloneConfig))
    return _local(uri) or _remote(uri, types)


def _local(uri: str) -> str | None:
    if uri.startswith("/"):
        return uri
    if not uri.startswith("file:"):
        return None
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidInput.of_field("storageUri", uri, "write file:///absolute/path")
    return unquote(parts.path)


def _remote(uri: str, types: Mapping[str, str]) -> str:
    name, separator, path = uri.partition(":")
    if not separator:
        raise InvalidInput.of_field("storageUri", uri, "write an absolute path or <remote>:<path>")
    return f"{name}:{_path(types.get(name, ''), path)}"


def _path(kind: str, path: str) -> str:
    """For rclone, the path of a web server begins behind its URL: `//` would begin another host's name."""
    return path.removeprefix("//") if kind == _WEB else path


def _inline(uri: str, remote: Remote) -> str:
    """`<name>:<path>` as rclone's remote without a configuration file, `:<type>,<option>=<value>:<path>`."""
    scheme, separator, path = uri.partition(":")
    if not separator or scheme != remote.name:
        raise InvalidInput.of_field("storageUri", uri, f"start it with the name of its rclone config, {remote.name}:")
    options = "".join(f",{key}={_option_value(value)}" for key, value in remote.parameters.items())
    return f":{remote.type}{options}:{_path(remote.type, path)}"


def _option_value(value: str) -> str:
    if any(special in value for special in ":,\"'"):
        return '"' + value.replace('"', '""') + '"'
    return value


def download_folder(internal: str, uri: str) -> str:
    """Name of the folder an artifact is downloaded into, the same at every attempt."""
    return str(fnv1a_32(f"{internal}-{uri}"))
