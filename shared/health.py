"""`python -m shared.health URL`: ends well when the URL answers 200 within two seconds. For health checks."""

import sys
import urllib.request
from typing import Final

_SECONDS: Final = 2.0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
