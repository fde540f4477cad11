"""`infer` and `metadata`: commands that talk to the data plane."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from services.cli import options
from services.cli.addresses import INFERENCE
from services.cli.config_file import CliConfig
from services.cli.config_registry import active_config, load_session, save_session
from services.cli.connections import address_of
from services.cli.failures import CommandFailed
from services.cli.infer import Reply, Tally, parse_headers, request_headers
from services.cli.input import payload
from services.cli.output import note, show
from shared.errors import InvalidInput


def infer_command(kind: str, suffix: str = "") -> Callable[..., None]:
    """`suffix` is what the header `seldon-model` adds to the name of this kind of resource."""

    def infer(
        name: Annotated[str, typer.Argument(help=f"Name of the {kind}.", show_default=False)],
        data: Annotated[str | None, typer.Argument(help="The request as JSON.", show_default=False)] = None,
        file_path: Annotated[
            str, typer.Option("--file-path", "-f", metavar="FILE", help="File with the request.", show_default=False)
        ] = "",
        inference_host: options.InferenceHost = None,
        inference_mode: Annotated[str, typer.Option(metavar="rest|grpc", help="Protocol of the call.")] = "rest",
        iterations: Annotated[int, typer.Option("--iterations", "-i", min=1, help="Number of calls.")] = 1,
        seconds: Annotated[
            int, typer.Option("--seconds", "-t", min=0, help="Call for this many seconds instead of counting.")
        ] = 0,
        sticky_session: Annotated[
            bool,
            typer.Option("--sticky-session", "-s", help="Ask for the versions of the last call."),
        ] = False,
        header: Annotated[
            list[str] | None,
            typer.Option("--header", metavar="KEY=VALUE", help="Header to add; repeatable.", show_default=False),
        ] = None,
        show_headers: Annotated[
            bool, typer.Option("--show-headers", help="Print headers sent (>) and received (<, <<).")
        ] = False,
        show_request: Annotated[bool, typer.Option("--show-request", "-r", help="Print the request.")] = False,
        show_response: Annotated[
            bool, typer.Option("--show-response/--no-show-response", "-o", help="Print the answer.")
        ] = True,
        authority: options.Authority = "",
    ) -> None:
        text = payload(data, file_path)
        headers = request_headers(name + suffix, load_session() if sticky_session else (), parse_headers(header or ()))
        config = active_config()
        host = _inference_host(inference_host, config)
        with _caller(inference_mode, host, authority, config, name, text, headers, show_request) as call:

            def one() -> Reply:
                reply = call()
                if show_headers and reply.transcript:
                    show(reply.transcript)
                if reply.ok:
                    save_session(reply.routes)
                return reply

            if iterations > 1 or seconds > 0:
                _many(one, iterations, seconds)
            else:
                _single(one(), show_response)

    infer.__doc__ = f"""Call a {kind}.

    One call prints the answer. Many calls (-i, -t) print how often each version answered. In gRPC mode the data is
    a ModelInferRequest in JSON.
    """
    return infer


def metadata(
    name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)],
    inference_host: options.InferenceHost = None,
    authority: options.Authority = "",
) -> None:
    """Show a model's inputs, outputs and platform, as its server describes them."""
    from services.cli.rest_inference_client import RestInferenceClient

    config = active_config()
    with RestInferenceClient(_inference_host(inference_host, config), authority, config.dataplane_tls) as client:
        show(client.metadata(name))


def _inference_host(flag: str | None, config: CliConfig) -> str:
    return address_of(INFERENCE, flag, config)


@contextmanager
def _caller(
    mode: str,
    host: str,
    authority: str,
    config: CliConfig,
    name: str,
    text: str,
    headers: Sequence[tuple[str, str]],
    show_request: bool,
) -> Iterator[Callable[[], Reply]]:
    """A function that makes one call; the request is read, and shown when asked for, only once."""
    if mode == "rest":
        from services.cli.rest_inference_client import RestInferenceClient
        from services.cli.text import reindent

        if show_request:
            show(reindent(text))
        with RestInferenceClient(host, authority, config.dataplane_tls) as rest:
            yield lambda: rest.infer(name, text, headers)
    elif mode == "grpc":
        from services.cli.grpc_inference_client import GrpcInferenceClient, parse_request
        from services.cli.proto_text import proto_json

        request = parse_request(text, name)
        if show_request:
            show(proto_json(request))
        with GrpcInferenceClient(host, authority, config.dataplane_tls) as client:
            yield lambda: client.infer(request, headers)
    else:
        raise InvalidInput(f"Unknown infer mode {mode}")


def _single(reply: Reply, show_response: bool) -> None:
    if not reply.ok:
        raise CommandFailed(reply.text, reply.hint)
    if show_response:
        show(reply.text)


def _many(call: Callable[[], Reply], iterations: int, seconds: int) -> None:
    tally = Tally()
    last_failure: Reply | None = None
    for reply in _replies(call, iterations, seconds):
        tally.add(reply)
        if not reply.ok:
            last_failure = reply
    show(tally.summary())
    if last_failure is not None:
        note(f"Last failure: {last_failure.text}")
        if last_failure.hint:
            note(last_failure.hint)


def _replies(call: Callable[[], Reply], iterations: int, seconds: int) -> Iterator[Reply]:
    if seconds == 0:
        for _ in range(iterations):
            yield call()
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield call()
