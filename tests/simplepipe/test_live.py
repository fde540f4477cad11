"""Runs that go on and push meanwhile, and two of them under one name."""

import pytest

from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Interpreter, Raised

OWN = ("run_time_seconds", "simplepipe_job_lease_seconds")
SYNC = "collector = MetricCollector(url, timeout=30, deadline=30)\n"
ASYNC = "import asyncio\ncollector = AsyncMetricCollector(url, timeout=30, deadline=30)\n"
TRAIN = """
import time
with collector.job(job, every=0.05) as run:
    run.gauge("accuracy", 0.5, "Share of right answers", labels={"set": "test"})
    with run.timed("epoch_seconds"):
        run.summary("batch_rows", 3)
    @run.timed("fit_seconds")
    def fit(): return 7
    fit(); fit()
    run.histogram("error", 0.2, buckets=[0.1, 1])
    run.histogram("error", 2)
    run.info("model", {"kind": "tree"})
    WAIT
"""
SEEN = """
import time, httpx
deadline = time.monotonic() + 60
while 'fit_seconds_count{instance="",job="%s"} 2' % job not in httpx.get(url + "/metrics").text:
    assert time.monotonic() < deadline
    time.sleep(0.02)
result = httpx.get(url + "/metrics").text
"""


def others(shown: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in shown.items() if not name.startswith(OWN)}


def test_a_run_shows_its_metrics_while_it_goes_on(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    """It is seen from outside before it ends, and says how it ended."""
    wait = "\n".join(f"    {line}" for line in SEEN.strip().splitlines())
    meanwhile = interpreter.run(SYNC + TRAIN.replace("    WAIT", wait), url=gateway.url, job=job)
    assert f'accuracy{{instance="",job="{job}",set="test"}} 0.5' in meanwhile
    assert f'run_succeeded{{instance="",job="{job}"}}' not in meanwhile
    shown = gateway.shown(job)
    assert shown["run_time_seconds"] > 0
    timings = {name: value for name, value in others(shown).items() if name.endswith("_seconds_sum")}
    assert all(value >= 0 for value in timings.values())
    assert {name: value for name, value in others(shown).items() if name not in timings} == {
        'accuracy{set="test"}': 0.5,
        "epoch_seconds_count": 1,
        "batch_rows_count": 1,
        "batch_rows_sum": 3,
        "fit_seconds_count": 2,
        'error_bucket{le="0.1"}': 0,
        'error_bucket{le="1"}': 1,
        'error_bucket{le="+Inf"}': 2,
        "error_count": 2,
        "error_sum": 2.2,
        'model_info{kind="tree"}': 1,
        "run_succeeded": 1,
    }


def test_the_same_with_an_event_loop(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    code = (
        ASYNC
        + """
async def main():
    async with httpx.AsyncClient() as client, collector.job(job, every=0.05) as run:
        run.gauge("accuracy", 0.5)
        while "accuracy{" not in (await client.get(url + "/metrics")).text.split("simplepipe")[0] or \\
              f'accuracy{{instance="",job="{job}"}}' not in (await client.get(url + "/metrics")).text:
            await asyncio.sleep(0.02)
        run.gauge("accuracy", 0.6)
import httpx
asyncio.run(asyncio.wait_for(main(), 60))
"""
    )
    interpreter.run(code, url=gateway.url, job=job)
    assert others(gateway.shown(job)) == {"accuracy": 0.6, "run_succeeded": 1}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_that_fails_says_so_and_its_error_is_the_one_that_is_seen(
    interpreter: Interpreter, gateway: Pushgateway, job: str, kind: str
) -> None:
    code = {
        "sync": SYNC
        + """
with collector.job(job) as run:
    run.gauge("accuracy", 0.5)
    raise ZeroDivisionError("the run's own")
""",
        "async": ASYNC
        + """
async def main():
    async with collector.job(job) as run:
        run.gauge("accuracy", 0.5)
        raise ZeroDivisionError("the run's own")
asyncio.run(main())
""",
    }[kind]
    with pytest.raises(Raised, match="the run's own") as raised:
        interpreter.run(code, url=gateway.url, job=job)
    assert raised.value.kinds[0] == "ZeroDivisionError"
    assert others(gateway.shown(job)) == {"accuracy": 0.5, "run_succeeded": 0}


def test_functions_are_measured(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    code = (
        SYNC
        + """
@collector.measure(job, grouping_key={"step": "add"})
def add(a, b=1):
    "Adds."
    return a + b
result = [add(1), add(1, b=2), add.__name__, add.__doc__]

import asyncio
@AsyncMetricCollector(url).measure(job, grouping_key={"step": "wait"})
async def wait():
    return 5
result.append(asyncio.run(wait()))
"""
    )
    assert interpreter.run(code, url=gateway.url, job=job) == [2, 3, "add", "Adds.", 5]
    for step in ("add", "wait"):
        shown = gateway.shown(job, step=step)
        assert shown["run_time_seconds"] >= 0
        assert others(shown) == {"run_succeeded": 1}
    with pytest.raises(Raised, match="measure it with AsyncMetricCollector"):
        interpreter.run("async def f(): pass\nMetricCollector(url).measure('j')(f)", url=gateway.url)


@pytest.mark.parametrize(
    "code",
    [
        SYNC + "with collector.job(job, delete_on_finish=True) as run: run.gauge('g', 1); run.push(); SEEN",
        ASYNC + "async def main():\n"
        "    async with collector.job(job, delete_on_finish=True) as run: run.gauge('g', 1); await run.push(); SEEN\n"
        "asyncio.run(main())",
    ],
)
def test_a_group_may_go_with_its_run(interpreter: Interpreter, gateway: Pushgateway, job: str, code: str) -> None:
    seen = "result = __import__('httpx').get(url + '/metrics').text"
    assert f'g{{instance="",job="{job}"}} 1' in (
        interpreter.run(code.replace("SEEN", f"global result; {seen}" if "main" in code else seen),
                        url=gateway.url, job=job)
    )  # fmt: skip
    assert job not in gateway.jobs()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_second_run_of_the_same_name_is_refused(
    interpreter: Interpreter, gateway: Pushgateway, job: str, kind: str
) -> None:
    code = {
        "sync": SYNC
        + """
with collector.job(job) as first:
    first.gauge("whose", 1)
    first.push()
    with collector.job(job, grouping_key={"run": "2"}) as other:
        other.gauge("whose", 2)
    with collector.job(job) as second:
        second.gauge("whose", 3)
""",
        "async": ASYNC
        + """
async def main():
    async with collector.job(job) as first:
        first.gauge("whose", 1)
        await first.push()
        async with collector.job(job, grouping_key={"run": "2"}) as other:
            other.gauge("whose", 2)
        async with collector.job(job) as second:
            second.gauge("whose", 3)
asyncio.run(main())
""",
    }[kind]
    with pytest.raises(
        Raised, match=r"job .* is in use by another run, .*: wait until it ends, or give each run"
    ) as raised:
        interpreter.run(code, url=gateway.url, job=job)
    assert raised.value.kinds[0] == "JobInUse"
    shown = gateway.shown(job)
    assert shown["whose"] == 1
    assert shown['whose{run="2"}'] == 2


def test_a_name_is_free_when_its_run_has_ended(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    code = (
        SYNC
        + """
for number in (1, 2):
    with collector.job(job) as run: run.gauge("whose", number)
"""
    )
    interpreter.run(code, url=gateway.url, job=job)
    assert gateway.shown(job)["whose"] == 2


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, True),
        ({"now": 1059.9}, True),
        # Killed: it pushes no more.
        ({"now": 1060.0}, False),
        ({"now": 990.0}, True),
        ({"lease": "0"}, False),
        ({"run": "mine"}, False),
        ({"labels": {"job": "train", "instance": "", "model": "other"}}, False),
        ({"labels": {"job": "train", "instance": "", "model": "iris", "more": "x"}}, False),
        ({"labels": {"job": "train", "instance": "2", "model": "iris"}}, False),
        ({"pushed": "soon"}, False),
        ({"answer": None}, False),
        ({"answer": {"status": "error"}}, False),
        ({"answer": {"data": [{"labels": "x"}, 5, None]}}, False),
    ],
)  # fmt: skip
def test_who_holds_a_job(interpreter: Interpreter, changed: dict[str, object], refused: bool) -> None:
    """From what a Pushgateway says, and it may say anything."""
    code = """
from simplepipe.core.claims import check, claim_in
try:
    check(claim_in(answer, "train", {"model": "iris"}, now), "mine", "train")
    result = False
except JobInUse as error:
    assert "theirs on host-1" in str(error)
    result = True
"""
    given = {"lease": "60", "run": "theirs", "now": 1005.0, "pushed": "1e3",
             "labels": {"job": "train", "instance": "", "model": "iris"}, **changed}  # fmt: skip
    claim = {"labels": {"simplepipe_run": given["run"], "simplepipe_host": "host-1"}, "value": given["lease"]}
    group = {"labels": given["labels"], "push_time_seconds": {"metrics": [{"value": given["pushed"]}]},
             "simplepipe_job_lease_seconds": {"metrics": [claim]}}  # fmt: skip
    answer = given.get("answer", {"data": [group]})
    assert interpreter.run(code, answer=answer, now=given["now"]) is refused


def test_of_two_that_begin_at_once_one_goes_on(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    """Both have pushed before either has looked again; the first to push then is told, and leaves the other alone."""
    code = (
        SYNC
        + """
one, two = collector.job(job, every=3600), collector.job(job, every=3600)
with one:
    one.gauge("whose", 1)
    two._refuse_when_taken = lambda: None
    with two:
        del two._refuse_when_taken
        two.gauge("whose", 2)
        two.push()
        try:
            one.push()
        except JobInUse as error:
            one.lose(error)
        try:
            one.gauge("whose", 1)
        except JobInUse:
            result = "told again"
"""
    )
    with pytest.raises(Raised) as raised:
        interpreter.run(code + "print(result, file=__import__('sys').stderr)", url=gateway.url, job=job)
    assert raised.value.kinds[0] == "JobInUse"
    assert gateway.shown(job)["whose"] == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("run.gauge('1st', 1)", "metric 1 '1st': name"),
        ("run.gauge('g', 'six')", "value is 'six': write a number"),
        ("run.summary('s', float('nan'))", "write a finite number"),
        ("run.gauge('g', 1, labels={'model': 'x'})", "'model', which is a grouping key"),
        ("run.gauge('g', 1); run.summary('g', 1)", "give one name one type"),
        ("run.gauge('g', 1, labels={'a': 'x'}); run.gauge('g', 1, labels={'b': 'x'})", "the labels of the first"),
        ("run.histogram('h', 1, buckets=[1]); run.histogram('h', 1, buckets=[2])", "write them once"),
        ("run.gauge('run_time_seconds', 1)", "a live job sets this one itself"),
        ("run.info('i', 5)", "value is 5: write an object of labels"),
    ],
)
def test_wrong_values_are_told_at_once_and_leave_the_rest(
    interpreter: Interpreter, gateway: Pushgateway, job: str, call: str, said: str
) -> None:
    code = (
        SYNC
        + f"""
with collector.job(job, grouping_key={{"model": "iris"}}) as run:
    run.gauge("good", 1)
    try:
        {call}
    except ValueError as error:
        result = str(error)
"""
    )
    assert said in interpreter.run(code, url=gateway.url, job=job)
    shown = gateway.shown(job, model="iris")
    assert shown["good"] == 1
    assert shown["run_succeeded"] == 1


def test_a_wrong_rate_is_named(interpreter: Interpreter) -> None:
    with pytest.raises(Raised, match="invalid every 0: give seconds, more than 0"):
        interpreter.run("MetricCollector('localhost:1').job('j', every=0)")
