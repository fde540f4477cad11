"""Pushgateways that are away, come back, ask for a password, or speak TLS."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import pushgateway
from tests.peers.certificates import write_pair
from tests.peers.ports import free_port
from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Interpreter, Raised

METRICS = [{"name": "m", "description": "d", "value": 1, "metric_type": "gauge"}]
PUSH = "MetricCollector(url, deadline=deadline, timeout=30).parse_and_push(metrics, job)"
USER, PASSWORD = "alice", "secret"
HASH = "$2b$04$L9LOYcF/XGkaUT5uUx8DR./XF8tiid7gDK7SVnn3DNHeO1T.bkOMS"
"""bcrypt's, of the password."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of this machine, with its authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    crt, key = folder / "crt.pem", folder / "key.pem"
    write_pair("127.0.0.1", crt, key)
    return crt, key


@pytest.fixture(scope="module")
def guarded(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushgateway]:
    """TLS, certificates of clients, and a password."""
    folder = tmp_path_factory.mktemp("guarded")
    crt, key = certificate
    (folder / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {crt}, key_file: {key}, client_ca_file: {crt},"
        f" client_auth_type: VerifyClientCertIfGiven}}\n"
        f"basic_auth_users: {{{USER}: '{HASH}'}}\n"
    )
    with pushgateway.running(folder / "log", options=[f"--web.config.file={folder / 'web.yml'}"]) as started:
        yield started


@pytest.mark.parametrize("kind", ["MetricCollector", "AsyncMetricCollector"])
def test_a_password_and_tls(
    interpreter: Interpreter, guarded: Pushgateway, certificate: tuple[Path, Path], kind: str
) -> None:
    crt, key = map(str, certificate)
    url = guarded.url.replace("http:", "https:")
    code = f"""
import asyncio
def collector(**more): return {kind}(url, **more, deadline=0, timeout=30)
def done(made): return asyncio.run(made) if made is not None else None
auth, tls = ("alice", "secret"), Tls(ca=crt, certificate=crt, key=key)
async def live():
    async with collector(basic_auth=auth, tls=tls).job("live") as job:
        job.gauge("g", 1)
if {kind} is MetricCollector:
    with collector(basic_auth=auth, tls=tls).job("live") as job:
        job.gauge("g", 1)
else:
    asyncio.run(live())
done(collector(basic_auth=auth, tls=tls).parse_and_push(metrics, "a"))
done(collector(basic_auth=auth, tls=Tls(ca=crt)).parse_and_push(metrics, "b"))
result = []
for more in (dict(tls=tls), dict(basic_auth=("alice", "wrong"), tls=tls), dict(basic_auth=auth)):
    try:
        done(collector(**more).parse_and_push(metrics, "c"))
    except SimplepipeError as error:
        result.append([type(error).__name__, str(error)])
"""
    refused = interpreter.run(code, url=url, metrics=METRICS, crt=crt, key=key)
    assert [kind for kind, _ in refused] == ["GatewayRefused", "GatewayRefused", "GatewayUnavailable"]
    assert "with 401" in refused[0][1]
    assert "give user and password" in refused[1][1]
    assert "certificate verify failed" in refused[2][1].lower()
    assert not any(PASSWORD in said for _, said in refused)


@pytest.mark.parametrize(
    "code", [PUSH, PUSH.replace("MetricCollector", "import asyncio; asyncio.run(AsyncMetricCollector") + ")"]
)
def test_one_that_is_away_is_named(interpreter: Interpreter, code: str) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        Raised, match=rf"the Pushgateway at {address} does not answer .* tried 2 times in 0.3 s"
    ) as raised:
        interpreter.run(code, url=address, metrics=METRICS, job="j", deadline=0.3)
    assert raised.value.kinds[0] == "GatewayUnavailable"
    assert "OSError" in raised.value.kinds
    with pytest.raises(Raised, match="tried once"):
        interpreter.run(code, url=address, metrics=METRICS, job="j", deadline=0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_one_that_comes_back_gets_the_push(interpreter: Interpreter, tmp_path: Path, job: str, kind: str) -> None:
    code = (
        PUSH
        if kind == "sync"
        else PUSH.replace("MetricCollector", "__import__('asyncio').run(AsyncMetricCollector") + ")"
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {"url": url, "metrics": METRICS, "job": job, "deadline": 120}
    pushing = threading.Thread(target=interpreter.run, args=(code,), kwargs=given)
    pushing.start()
    with pushgateway.running(tmp_path / "log", port) as started:
        pushing.join(timeout=120)
        assert started.shown(job) == {"m": 1}


def test_a_run_outlives_its_gateway(interpreter: Interpreter, tmp_path: Path, job: str) -> None:
    """It goes away and comes back empty while the run goes on; a warning, and everything is there again."""
    port = free_port()
    begin = """
import logging
class Kept(logging.Handler):
    def emit(self, record): kept.append(record.getMessage())
kept = []
handler = Kept()
logging.getLogger("simplepipe").addHandler(handler)
import builtins
builtins.kept, builtins.handler = kept, handler
builtins.run = MetricCollector(url, deadline=0, timeout=30).job(job, every=0.05)
run.__enter__()
run.gauge("g", 1)
"""
    with pushgateway.running(tmp_path / "log", port) as first:
        interpreter.run(begin, url=first.url, job=job)
    warned = """
import time
while not any("does not answer" in said for said in kept): time.sleep(0.02)
run.gauge("g", 2)
result = kept[-1]
"""
    assert "tried again in 0.05 s" in interpreter.run(warned)
    with pushgateway.running(tmp_path / "log", port) as second:
        interpreter.run("run.__exit__(None, None, None)\nlogging = __import__('logging')\n"
                        "logging.getLogger('simplepipe').removeHandler(handler)")  # fmt: skip
        assert second.shown(job)["g"] == 2


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_needs_its_gateway_unless_it_is_lenient(interpreter: Interpreter, kind: str) -> None:
    code = {
        "sync": """
with MetricCollector(url, deadline=0).job("j", lenient=lenient) as run:
    run.gauge("g", 1)
    result = "ran"
""",
        "async": """
import asyncio
async def main():
    async with AsyncMetricCollector(url, deadline=0).job("j", lenient=lenient) as run:
        run.gauge("g", 1)
        return "ran"
result = asyncio.run(main())
""",
    }[kind]
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Raised, match="does not answer"):
        interpreter.run(code, url=url, lenient=False)
    assert interpreter.run(code, url=url, lenient=True) == "ran"


def test_what_is_no_pushgateway(interpreter: Interpreter, gateway: Pushgateway) -> None:
    with pytest.raises(Raised, match=r"refused PUT .* with 404.*check the address") as raised:
        interpreter.run(PUSH, url=f"{gateway.url}/elsewhere", metrics=METRICS, job="j", deadline=10)
    assert raised.value.kinds[0] == "GatewayRefused"
