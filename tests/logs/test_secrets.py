"""The password of Kafka is in no line, even of a client that cannot log in, at the lowest levels."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.logs.service import running
from tests.peers.certificates import write_pair
from tests.peers.ports import free_port

PASSWORD = "marker-4711-password"
ATTEMPTS = 3
_HANDSHAKE = 17
_API_VERSIONS = 18


class LoginRefused:
    """Speaks as much of Kafka, over TLS, as it takes to be sent a password; then it hangs up."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passwords = threading.Semaphore(0)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with (
                contextlib.suppress(OSError, struct.error),
                self._context.wrap_socket(connection, server_side=True) as client,
            ):
                self._refuse(client)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _refuse(self, client: ssl.SSLSocket) -> None:
        request, _, correlation = struct.unpack(">hhi", self._frame(client)[:8])
        while request == _API_VERSIONS:
            self._answer(client, correlation, struct.pack(">hihhh", 0, 1, _HANDSHAKE, 0, 0))
            request, _, correlation = struct.unpack(">hhi", self._frame(client)[:8])
        self._answer(client, correlation, struct.pack(">hih", 0, 1, len("PLAIN")) + b"PLAIN")
        if PASSWORD.encode() in self._frame(client):
            self.passwords.release()

    def _answer(self, client: ssl.SSLSocket, correlation: int, content: bytes) -> None:
        client.sendall(struct.pack(">ii", 4 + len(content), correlation) + content)

    def _frame(self, client: ssl.SSLSocket) -> bytes:
        (length,) = struct.unpack(">i", client.recv(4))
        content = b""
        while len(content) < length and (piece := client.recv(length - len(content))):
            content += piece
        return content


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LoginRefused]:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_pair("127.0.0.1", certificate, key)
    made = LoginRefused(certificate, key)
    serving = threading.Thread(target=made.serve)
    serving.start()
    yield made
    made.close()
    serving.join()


@pytest.mark.parametrize("service", ["modelgateway", "dataflow"])
def test_a_password_that_is_sent_is_not_logged(service: str, broker: LoginRefused, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    port = free_port()
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.port}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_BROKER_TLS_CA_LOCATION": str(tmp_path / "tls.crt"),
        "KAFKA_CLIENT_SASL_PASSWORD_LOCATION": str(secret),
        "SELDON_LOG_LEVEL": "debug",
        "DATAFLOW_LOG_LEVEL": "debug",
        "SELDON_LOG_LEVEL_KAFKA": "debug",
    }
    flag = "--health-server-port" if service == "dataflow" else "--health-probe-port"
    log = tmp_path / "log"
    with running(service, port, variables, log, flag, str(port), "--host", "127.0.0.1") as url:
        for _ in range(ATTEMPTS):
            assert broker.passwords.acquire(timeout=60)
        told = httpx.get(f"{url}/ready", trust_env=False).text
        assert "kafka" in told
        assert PASSWORD not in told
        assert httpx.get(f"{url}/logging", trust_env=False).json()["components"]["aiokafka"] == "info"
    lines = log.read_text()
    assert "waiting for kafka" in lines
    assert PASSWORD not in lines
