"""Runs code that it is sent, a line of JSON each, in the environment of Simplepipe; answers with lines of JSON."""

import json
import logging
import sys

import simplepipe

logging.getLogger("simplepipe").addHandler(logging.NullHandler())


def answer_to(request: dict) -> dict:  # type: ignore[type-arg]
    seen = {name: getattr(simplepipe, name) for name in simplepipe.__all__}
    seen.update(request["values"])
    try:
        exec(request["code"], seen)
    except Exception as error:
        problems = [[each.index, each.name, each.field] for each in getattr(error, "problems", ())]
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"message": str(error), "kinds": kinds, "problems": problems}
    return {"result": seen.get("result")}


for line in sys.stdin:
    print(json.dumps(answer_to(json.loads(line))), flush=True)
