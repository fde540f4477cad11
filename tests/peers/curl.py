"""curl for the commands of pages, as far as they use it: `-s`, `-H`, `-d` and `--data-urlencode`.

What the project does not bring is not on the PATH of tests, so that this stands in for the program.
"""

import argparse
import shlex
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def put_into(folder: Path) -> None:
    """As a program of the name."""
    program = folder / "curl"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} "$@"\n')
    program.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--data-urlencode", dest="form")
    parser.add_argument("url")
    chosen = parser.parse_args()
    headers = {name: value.strip() for name, _, value in (each.partition(":") for each in chosen.headers)}
    body = chosen.data
    if chosen.form is not None:
        name, _, value = chosen.form.partition("=")
        body = urllib.parse.urlencode({name: value})
    # Without a content type of its own this says, as curl does, that it sends a form.
    request = urllib.request.Request(f"http://{chosen.url}", body.encode() if body is not None else None, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            sys.stdout.buffer.write(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            sys.stdout.buffer.write(refused.read())


if __name__ == "__main__":
    main()
