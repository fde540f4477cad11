"""`python -m compose.runtime [auto|compose|process]`: prints how to run the system here, and says why on stderr.

Runs before anything is installed: it imports the standard library only.
"""

import sys

from compose.containers import engine
from shared.errors import InvalidInput, Unavailable


def choose(wanted: str) -> tuple[str, str]:
    """`compose` or `process`, and why. Raises InvalidInput for what is neither of them nor `auto`."""
    if wanted in ("compose", "process"):
        return wanted, f"RUNTIME={wanted}"
    if wanted != "auto":
        raise InvalidInput.of_field("RUNTIME", wanted, "use compose, process or auto")
    try:
        engine.find_compose()
    except Unavailable as missing:
        return "process", str(missing)
    return "compose", "a Docker engine with Compose answers (RUNTIME=process for plain processes)"


def main() -> int:
    try:
        runtime, reason = choose(sys.argv[1] if len(sys.argv) > 1 else "auto")
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{'containers' if runtime == 'compose' else 'plain processes'}: {reason}", file=sys.stderr)
    print(runtime)
    return 0


if __name__ == "__main__":
    sys.exit(main())
