"""Inference over REST, of the models in `artifacts`."""

from typing import Any

import aiohttp


def body() -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [3], "datatype": "INT32", "data": [1, 2, 3]}]}


async def infer(url: str, name: str, **headers: str) -> tuple[int, Any, Any]:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    path = f"{url}/v2/models/{name}/infer"
    async with aiohttp.ClientSession() as client, client.post(path, json=body(), headers=named) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers
