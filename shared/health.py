"""`python -m shared.health URL`: whether a service answers well, for scripts and for containers without curl."""

import http.client
import sys
import urllib.error
import urllib.request
from typing import Final

_SECONDS: Final = 2.0
_LONGEST_ANSWER: Final = 4096
# Health checks ask their own machine; a proxy of the environment is for calls to others.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def look(url: str, seconds: float = _SECONDS) -> tuple[bool, str]:
    """Whether the URL answers 200 in time, and what it said, or why there is no answer."""
    try:
        with _OPENER.open(url, timeout=seconds) as answer:
            return answer.status == 200, _said(answer)
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {_said(error)}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return False, f"{url}: {getattr(error, 'reason', None) or error}"


def _said(answer: object) -> str:
    body: bytes = answer.read(_LONGEST_ANSWER)  # type: ignore[attr-defined]
    return body.decode(errors="replace").strip()


def main(arguments: list[str]) -> int:
    """0: it answers 200; 1: it does not; 2: no URL. The sentence on stdout is kept with the container's state."""
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        print("usage: python -m shared.health http://HOST:PORT/ready", file=sys.stderr)
        return 2
    healthy, sentence = look(arguments[0])
    print(sentence)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
