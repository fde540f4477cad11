"""Apache Kafka's jars from Maven Central, each with the checksum of the shipped list. Runs on a bare Python."""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("jars.txt")
_CENTRAL = "https://repo1.maven.org/maven2"
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 3
_SAY_EVERY_SECONDS = 5.0


class NotFetched(Exception):
    """Which file failed and what to do about it."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Below the root of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file}"


def read_list(text: str) -> list[Jar]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [Jar(*re.split("[: ]", line)) for line in lines]


def fetch(folder: Path) -> None:
    """Make `folder` hold the jars of the list and no others. Raises NotFetched.

    MAVEN_CENTRAL in the environment names another repository with the same content.
    """
    base = os.environ.get("MAVEN_CENTRAL") or _CENTRAL
    wanted = read_list(LIST.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for other in set(folder.iterdir()) - {folder / jar.file for jar in wanted}:
        other.unlink()
    missing = [jar for jar in wanted if not _is_there(folder, jar)]
    if not missing:
        print("Apache Kafka: its jars are there", flush=True)
        return
    started = said = time.monotonic()
    print(f"Apache Kafka: fetching {len(missing)} jars from {base}", flush=True)
    for count, jar in enumerate(missing):
        if time.monotonic() - said > _SAY_EVERY_SECONDS:
            said = time.monotonic()
            print(f"Apache Kafka: {count} of {len(missing)} jars, {said - started:.0f} s", flush=True)
        _fetch_one(f"{base.rstrip('/')}/{jar.path}", jar, folder)
    print(f"Apache Kafka: {len(missing)} jars fetched in {time.monotonic() - started:.0f} s", flush=True)


def _is_there(folder: Path, jar: Jar) -> bool:
    file = folder / jar.file
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == jar.sha256


def _fetch_one(url: str, jar: Jar, folder: Path) -> None:
    content = _read(url)
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise NotFetched(
            f"{url} has SHA-256 {found}, and {LIST} says {jar.sha256}: set MAVEN_CENTRAL to another mirror"
        )
    # Whole or not at all, so that an interrupted run leaves nothing half.
    fresh = folder / f"{jar.file}.new"
    fresh.write_bytes(content)
    fresh.rename(folder / jar.file)


def _read(url: str) -> bytes:
    problem: OSError | None = None
    for _ in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                content: bytes = answer.read()
                return content
        except OSError as error:
            problem = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                break
    raise NotFetched(f"{url} cannot be fetched ({problem}): check the network, or set MAVEN_CENTRAL to a mirror")
