"""Runs in the original wrapper's environment: what it answers to requests in JSON on standard input, as JSON."""

import importlib
import json
import sys

from seldon_core import seldon_methods
from seldon_core.metrics import SeldonMetrics


def main() -> None:
    asked = json.load(sys.stdin)
    answers = []
    metrics = SeldonMetrics()
    for folder, name, arguments, requests in asked:
        sys.path.insert(0, folder)
        user = getattr(importlib.import_module(name), name)(**arguments)
        if hasattr(user, "load"):
            user.load()
        answers.append([seldon_methods.predict(user, request, metrics) for request in requests])
        sys.path.remove(folder)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
