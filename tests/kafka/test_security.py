"""TLS and SASL from variables, against real TLS and a real token endpoint."""

import asyncio
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from shared.errors import InvalidInput, Unavailable
from shared.kafka.security import connection_arguments
from shared.kafka.tokens import ClientCredentials
from tests.peers.certificates import write_pair


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate, with its authority, and key of a host named `broker`."""
    folder = tmp_path_factory.mktemp("tls")
    crt, key = folder / "tls.crt", folder / "tls.key"
    write_pair("broker", crt, key)
    return crt, key


async def _handshake(certificate: tuple[Path, Path], client: ssl.SSLContext, host: str) -> None:
    """With a server of that certificate which wants one of the client too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate[0])
    context.load_cert_chain(*certificate)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ok")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=host)
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        await writer.wait_closed()


async def test_tls_with_a_client_certificate(certificate: tuple[Path, Path]) -> None:
    crt, key = certificate
    variables = {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_BROKER_TLS_CA_LOCATION": str(crt),
        "KAFKA_CLIENT_TLS_CRT_LOCATION": str(crt),
        "KAFKA_CLIENT_TLS_KEY_LOCATION": str(key),
    }
    made = connection_arguments(variables)
    assert made["security_protocol"] == "SSL"
    await _handshake(certificate, made["ssl_context"], "broker")
    unchecked = connection_arguments({**variables, "KAFKA_CLIENT_TLS_ENDPOINT_IDENTIFICATION_ALGORITHM": ""})
    await _handshake(certificate, unchecked["ssl_context"], "elsewhere")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL 'SASL_PLAINTEXT'"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BROKER_TLS_CA_LOCATION": "/no"}, "KAFKA_BROKER_TLS_CA_LOCATION"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CLIENT_TLS_KEY_LOCATION": "/no"}, "KAFKA_CLIENT_TLS_KEY_LOCATION"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CLIENT_TLS_ENDPOINT_IDENTIFICATION_ALGORITHM": "http"},
            "KAFKA_CLIENT_TLS_ENDPOINT_IDENTIFICATION_ALGORITHM 'http'",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_CLIENT_SASL_PASSWORD_LOCATION"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM 'GSSAPI'"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
            "KAFKA_CLIENT_SASL_PASSWORD_LOCATION",
        ),
    ],
)
def test_what_is_wrong_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        connection_arguments(variables)
    assert named in str(raised.value)


def test_files_that_hold_something_else_are_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("nothing")
    with pytest.raises(InvalidInput, match="KAFKA_BROKER_TLS_CA_LOCATION"):
        connection_arguments({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BROKER_TLS_CA_LOCATION": str(junk)})
    pair = {"KAFKA_CLIENT_TLS_CRT_LOCATION": str(certificate[0]), "KAFKA_CLIENT_TLS_KEY_LOCATION": str(junk)}
    with pytest.raises(InvalidInput, match="KAFKA_CLIENT_TLS_CRT_LOCATION"):
        connection_arguments({"KAFKA_SECURITY_PROTOCOL": "SSL", **pair})


def test_in_the_clear_by_default() -> None:
    assert connection_arguments({}) == {}
    assert connection_arguments({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}) == {}


@pytest.mark.parametrize("mechanism", ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_user_and_password(tmp_path: Path, mechanism: str) -> None:
    password = tmp_path / "password"
    password.write_text(" sec ret\n")
    variables = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_CLIENT_SASL_PASSWORD_LOCATION": str(password),
    }
    made = connection_arguments(variables)
    assert made["sasl_mechanism"] == (mechanism or "PLAIN")
    assert (made["sasl_plain_username"], made["sasl_plain_password"]) == ("seldon", " sec ret")
    assert connection_arguments({**variables, "KAFKA_CLIENT_SASL_USERNAME": "me"})["sasl_plain_username"] == "me"


class _TokenEndpoint(BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, list[str]]]]
    life = 3600

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.asked.append((self.headers["Authorization"], form))
        right = self.headers["Authorization"] == "Basic " + b64encode(b"me:secret").decode()
        body = json.dumps({"access_token": f"token-{len(self.asked)}", "expires_in": self.life}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def endpoint() -> Iterator[tuple[str, type[_TokenEndpoint]]]:
    handler = type("Endpoint", (_TokenEndpoint,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token", handler
        server.shutdown()
        thread.join()


def _secret(folder: Path, **fields: str) -> Path:
    for name, value in fields.items():
        (folder / name).write_text(f"{value}\n")
    return folder


async def test_tokens_are_fetched_once_while_fresh(tmp_path: Path, endpoint: tuple[str, type[_TokenEndpoint]]) -> None:
    url, handler = endpoint
    fields = {"client_id": "me", "client_secret": "secret", "token_endpoint_url": url}
    folder = _secret(tmp_path, method="OIDC", scope="kafka", extensions="a=1, b=2", **fields)
    variables = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_CLIENT_SASL_PASSWORD_LOCATION": str(folder),
    }
    provider = connection_arguments(variables)["sasl_oauth_token_provider"]
    assert isinstance(provider, ClientCredentials)
    assert await asyncio.gather(*(provider.token() for _ in range(5))) == ["token-1"] * 5
    assert handler.asked[0][1] == {"grant_type": ["client_credentials"], "scope": ["kafka"]}
    assert provider.extensions() == {"a": "1", "b": "2"}


async def test_a_stale_token_is_replaced(endpoint: tuple[str, type[_TokenEndpoint]]) -> None:
    url, handler = endpoint
    handler.life = 0
    provider = ClientCredentials(url, "me", "secret")
    assert [await provider.token(), await provider.token()] == ["token-1", "token-2"]


async def test_a_refused_token_is_an_error_without_the_secret(endpoint: tuple[str, type[_TokenEndpoint]]) -> None:
    with pytest.raises(Unavailable, match=r"/token gives no token: .*401") as raised:
        await ClientCredentials(endpoint[0], "me", "hidden").token()
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "add the file client_id"),
        ({"client_id": "a", "client_secret": "b"}, "add the file token_endpoint_url"),
        ({"method": "magic"}, "method of the OAuth secret"),
        ({"extensions": "novalue"}, "extensions of the OAuth secret"),
    ],
)
def test_a_wrong_secret_is_named(tmp_path: Path, fields: dict[str, str], named: str) -> None:
    whole = {"client_id": "a", "client_secret": "b", "token_endpoint_url": "http://x"}
    folder = _secret(tmp_path, **({**whole, **fields} if {"method", "extensions"} & fields.keys() else fields))
    with pytest.raises(InvalidInput, match=named):
        ClientCredentials.from_secret("KAFKA_CLIENT_SASL_PASSWORD_LOCATION", folder)
