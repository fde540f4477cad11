"""The only pipeline gateway starts anew: its callers wait, and see no error."""

import asyncio
import json
from pathlib import Path

import httpx

from services.scheduler.core.routing import PipelinePlan
from tests.envoy.test_lost_replicas import Process
from tests.envoy.test_validate import as_static
from tests.peers.mesh import Mesh, envoy_binary, envoy_environment
from tests.peers.ports import free_ports


async def test_calls_to_the_only_gateway_wait_for_it(tmp_path: Path) -> None:
    gateway, mesh = Process("gateway"), Mesh(tmp_path, *free_ports(8))
    plan = PipelinePlan((("127.0.0.1", gateway.http_port, gateway.grpc_port),))
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(as_static(mesh.bootstrap(), "chain.pipeline", plan, retry_seconds=60)))
    envoy = await asyncio.create_subprocess_exec(
        envoy_binary(), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "error",
        env=envoy_environment(),
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(timeout=90, transport=httpx.AsyncHTTPTransport(retries=20)) as client:
            url = f"http://127.0.0.1:{mesh.data_port}/v2/pipelines/chain/infer"
            calls = [asyncio.create_task(client.post(url, content=b"1")) for _ in range(5)]
            retries = f"http://127.0.0.1:{mesh.stats_port}/stats?filter=chain_pipeline_http.upstream_rq_retry$"
            async with asyncio.timeout(60):
                # Every call has failed to connect, and more than once.
                while True:
                    if int((await client.get(retries)).text.rpartition(":")[2] or 0) >= 15:
                        break
                    await asyncio.sleep(0.05)
            await gateway.start()
            answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 5
    finally:
        await gateway.kill()
        envoy.kill()
        await envoy.wait()
