"""The scheduler's HTTP endpoint that explains where things run."""

from typing import Final
from urllib.parse import quote

import httpx

from services.cli.failures import CommandFailed, unreachable_hint

_SECONDS: Final = 30.0


def fetch_explanation(host: str, kind: str, name: str) -> str:
    """The endpoint's JSON; `kind` is `model` or `pipeline`.

    Raises CommandFailed with its error, or with where it was looked for.
    """
    url = f"http://{host}/explain/{kind}s/{quote(name, safe='')}"
    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
    except (httpx.RequestError, httpx.InvalidURL) as error:
        hint = unreachable_hint("scheduler", host, "--scheduler-http-host", "SELDON_SCHEDULER_HTTP_HOST")
        raise CommandFailed(f"GET {url}: {error}", hint) from None
    if answer.status_code != httpx.codes.OK:
        raise CommandFailed(_error(answer))
    return answer.text


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the scheduler answered {answer.status_code}: {answer.text}"
