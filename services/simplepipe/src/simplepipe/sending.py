"""Sends requests to a Pushgateway and waits for its answer, again and again until the deadline."""

from __future__ import annotations

import time

import httpx

from simplepipe.core.requests import Request
from simplepipe.gateway import Gateway, check, failure


def send(client: httpx.Client, gateway: Gateway, request: Request) -> httpx.Response:
    """The answer, a success. Raises GatewayUnavailable and GatewayRefused."""
    began = time.monotonic()
    tries = 0
    while True:
        tries += 1
        try:
            answer = client.request(
                request.method, request.url, headers=list(request.headers), content=request.body,
                timeout=gateway.try_seconds(time.monotonic() - began),
            )  # fmt: skip
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        else:
            reason = failure(answer.status_code)
            if not reason:
                check(request, answer.status_code, answer.headers, answer.text)
                return answer
        wait = gateway.wait_seconds(tries, time.monotonic() - began)
        if wait is None:
            raise gateway.unavailable(reason, tries)
        time.sleep(wait)
