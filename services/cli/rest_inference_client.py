"""Inference over REST."""

import ssl
from collections.abc import Sequence
from typing import Final, Self

import httpx

from services.cli.config_file import Tls
from services.cli.failures import CommandFailed, unreachable_hint
from services.cli.infer import Reply, rest_failure, transcript_lines
from services.cli.text import reindent
from shared.errors import InvalidInput
from shared.names import HEADER_MODEL, HEADER_ROUTE

_TLS_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 10.0
_DEFAULT_HEADERS: Final = (("content-type", "application/json"),)


class RestInferenceClient:
    """Calls to the data plane at `host` (host:port), each on a connection of its own; a context manager."""

    def __init__(self, host: str, authority: str = "", tls: Tls | None = None) -> None:
        self._host = host
        self._base = f"{'https' if tls else 'http'}://{host}"
        self._connection = [("connection", "close"), *([("host", authority)] if authority else [])]
        self._http = httpx.Client(
            verify=_ssl_context(tls) if tls else False,
            timeout=httpx.Timeout(_TLS_SECONDS if tls else None, connect=_CONNECT_SECONDS),
            # The address is the system's own; a proxy from the environment would not reach it.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def infer(self, name: str, data: str, headers: Sequence[tuple[str, str]]) -> Reply:
        """POST `data` as it is. Never raises: an unreachable host is a reply with code 0."""
        path = f"/v2/models/{name}/infer"
        given = {name for name, _ in headers}
        sent = [*(pair for pair in _DEFAULT_HEADERS if pair[0] not in given), *headers]
        try:
            request = self._request("POST", path, sent, data.encode())
            answer = self._http.send(request)
        except httpx.RequestError as error:
            return Reply(False, 0, (), f"POST {self._base}{path}: {error}", self._hint())
        body = answer.text
        ok = answer.is_success
        return Reply(
            ok=ok,
            code=answer.status_code,
            routes=tuple(answer.headers.get_list(HEADER_ROUTE)),
            text=reindent(body) if ok else rest_failure(answer.status_code, body),
            transcript=_transcript(request, sent, answer),
        )

    def metadata(self, name: str) -> str:
        """The model's metadata, re-indented. Raises CommandFailed."""
        path = f"/v2/models/{name}"
        try:
            answer = self._http.send(self._request("GET", path, [(HEADER_MODEL, name)], None))
        except httpx.RequestError as error:
            raise CommandFailed(f"GET {self._base}{path}: {error}", self._hint()) from None
        if answer.status_code != httpx.codes.OK:
            raise CommandFailed(rest_failure(answer.status_code, answer.text))
        return reindent(answer.text)

    def _request(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], content: bytes | None
    ) -> httpx.Request:
        try:
            return self._http.build_request(
                method, f"{self._base}{path}", headers=[*self._connection, *headers], content=content
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise InvalidInput(f"{method} {self._base}{path} cannot be sent: {error}") from None

    def _hint(self) -> str:
        return unreachable_hint("data plane", self._host, "--inference-host", "SELDON_INFER_HOST")


def _transcript(request: httpx.Request, sent: Sequence[tuple[str, str]], answer: httpx.Response) -> str:
    given = [(_canonical(name), value) for name, value in sent]
    received = [(_canonical(name), value) for name, value in answer.headers.multi_items()]
    lines = [
        f"> {request.method} {request.url.raw_path.decode()} HTTP/1.1",
        f"> Host: {request.headers['host']}",
        *transcript_lines("> ", given),
        "",
        *transcript_lines("< ", received),
        "",
    ]
    return "\n".join(lines)


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_path or None)
        if tls.key_path and tls.crt_path:
            context.load_cert_chain(tls.crt_path, tls.key_path)
    except OSError as error:
        raise InvalidInput(f"TLS files of the dataplane cannot be used: {error}") from None
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
