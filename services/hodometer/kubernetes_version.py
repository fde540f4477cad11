"""The version of the Kubernetes API server, asked from inside a cluster."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the token and the authority of every pod's service account."""
_SECONDS: Final = 10.0


def inside_cluster(environment: Mapping[str, str]) -> bool:
    """Whether Kubernetes has told this process where its API is."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST") and environment.get("KUBERNETES_SERVICE_PORT"))


async def server_version(environment: Mapping[str, str], account: Path = ACCOUNT) -> str:
    """Such as `v1.29.3`. Raises OSError, httpx.HTTPError, or ValueError for an answer without a version."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    token = (await asyncio.to_thread((account / "token").read_text)).strip()
    trust = await asyncio.to_thread(ssl.create_default_context, cafile=str(account / "ca.crt"))
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/version"
    # The API is inside the cluster: a proxy for the outside world does not reach it.
    async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=_SECONDS) as client:
        answer = (await client.get(url, headers={"Authorization": f"Bearer {token}"})).raise_for_status().json()
    version = answer.get("gitVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str):
        raise ValueError(f"{url} answered without gitVersion")
    return version
