"""Whatever happens on the way, an Envoy ends up with what the cache has, and is not sent anything twice for nothing."""

import random
from collections import deque

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.cache import Versioned, XdsCache, versioned
from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE, ResourceKey
from services.scheduler.core.envoy.stream import XdsStream
from tests.peers.envoy import XdsClient

NAMES = ("iris", "wine", "digits")
POISON = "poison"


def resource(key: ResourceKey, content: str) -> Versioned:
    return versioned(key, StringValue(value=content))


def refuse_poison(sent: discovery_pb2.Resource) -> str:
    return f"{sent.name} is bad" if POISON.encode() in sent.resource.value else ""


class Line:
    """A cache, one client, and the stream between them with messages under way in both directions."""

    def __init__(self) -> None:
        self.cache = XdsCache()
        self.client = XdsClient(refuse=refuse_poison)
        self.connect()

    def connect(self) -> None:
        """A new stream; what was under way on the old one is lost."""
        self.stream = XdsStream(self.cache)
        self.requests = deque(self.client.opening())
        self.responses: deque[discovery_pb2.DeltaDiscoveryResponse] = deque()

    def change(self, name: str, content: str | None) -> None:
        """A model's cluster and endpoints, or their end. Only the cluster is ever bad."""
        self.put(ResourceKey(CLUSTER, name), content)
        self.put(ResourceKey(ENDPOINTS, name), "good" if content == POISON else content)

    def put(self, key: ResourceKey, content: str | None) -> None:
        if self.cache.set(key, None if content is None else resource(key, content)):
            self.stream.touch(key)

    def to_client(self) -> None:
        self.responses.extend(self.stream.responses())
        if self.responses:
            self.requests.extend(self.client.receive(self.responses.popleft()))

    def to_server(self) -> None:
        if self.requests:
            self.stream.receive(self.requests.popleft())

    def settle(self) -> None:
        for _ in range(1_000):
            self.to_server()
            self.to_client()
            if not self.requests and not self.responses:
                self.responses.extend(self.stream.responses())
                if not self.responses:
                    return
        raise AssertionError("the stream does not come to rest")

    @property
    def expected(self) -> dict[ResourceKey, str]:
        return {
            ResourceKey(type_url, name): entry.version
            for type_url in (CLUSTER, ENDPOINTS, SCOPE)
            for name in self.cache.names(type_url)
            if (entry := self.cache.get(ResourceKey(type_url, name))) is not None
        }

    @property
    def held(self) -> dict[ResourceKey, str]:
        return {key: entry.version for key, entry in self.client.resources.items()}


def random_step(line: Line, chance: random.Random, contents: tuple[str | None, ...]) -> None:
    what = chance.randrange(10)
    name = chance.choice(NAMES)
    if what == 0:
        line.connect()
    elif what <= 2:
        line.change(name, chance.choice(contents))
    elif what == 3:
        line.put(ResourceKey(SCOPE, name), chance.choice(contents))
    elif what <= 6:
        line.to_client()
    else:
        line.to_server()


@pytest.mark.parametrize("seed", range(10))
def test_the_client_ends_up_with_what_the_cache_has(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        line = Line()
        for _ in range(chance.randrange(5, 80)):
            random_step(line, chance, ("a", "b", None))
        line.settle()
        assert line.held == line.expected
        assert line.stream.held == line.held
        assert not line.stream.lacks(dict(line.expected))


@pytest.mark.parametrize("seed", range(10))
def test_a_bad_resource_holds_up_no_other(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        line = Line()
        for _ in range(chance.randrange(5, 80)):
            random_step(line, chance, ("a", "b", POISON, None))
        line.settle()
        for key, version in line.expected.items():
            is_bad = version == resource(key, POISON).version
            if is_bad:
                assert line.stream.refused[key] == (version, f"{key.name} is bad")
            elif key.type_url != ENDPOINTS or ResourceKey(CLUSTER, key.name) in line.held:
                assert line.held[key] == version
        assert not line.stream.lacks({key: v for key, v in line.expected.items() if key.type_url != ENDPOINTS})
        for name in NAMES:
            line.change(name, "good")
            line.put(ResourceKey(SCOPE, name), "good")
        line.settle()
        assert line.held == line.expected


def test_a_reconnecting_client_is_sent_only_what_changed() -> None:
    line = Line()
    for name in NAMES:
        line.change(name, "a")
        line.put(ResourceKey(SCOPE, name), "a")
    line.settle()
    line.client.received.clear()

    line.connect()
    line.settle()
    assert line.client.received == []

    line.put(ResourceKey(SCOPE, "iris"), "b")
    line.change("wine", None)
    line.connect()
    line.settle()
    assert sorted(line.client.received) == [ResourceKey(CLUSTER, "wine"), ResourceKey(SCOPE, "iris")]
    assert line.held == line.expected


def test_a_refused_response_is_split_to_find_the_culprit() -> None:
    line = Line()
    for name in NAMES:
        line.put(ResourceKey(CLUSTER, name), POISON if name == "wine" else "a")
    line.settle()
    assert line.stream.refused == {
        ResourceKey(CLUSTER, "wine"): (resource(ResourceKey(CLUSTER, "wine"), POISON).version, "wine is bad")
    }
    assert sorted(key.name for key in line.held) == ["digits", "iris"]
    assert sorted(key.name for key in line.client.received) == ["digits", "digits", "iris", "iris", "wine", "wine"]


def test_a_refused_resource_that_is_tried_again_has_no_answer_yet() -> None:
    line = Line()
    key = ResourceKey(SCOPE, "iris")
    line.put(key, POISON)
    line.settle()
    wanted = {key: resource(key, POISON).version}
    assert not line.stream.lacks(wanted)
    line.put(key, None)
    line.put(key, POISON)
    assert line.stream.lacks(wanted)
    line.settle()
    assert line.stream.refused[key][1] == "iris is bad"


def test_a_change_taken_back_while_it_is_on_the_way_is_taken_back_at_the_client() -> None:
    line = Line()
    key = ResourceKey(SCOPE, "iris")
    line.put(key, "a")
    line.settle()
    line.put(key, "b")
    line.responses.extend(line.stream.responses())
    line.put(key, "a")
    line.settle()
    assert line.held == line.expected


def test_clusters_go_first_and_scopes_last() -> None:
    line = Line()
    line.settle()
    line.put(ResourceKey(SCOPE, "iris"), "a")
    line.change("iris", "a")
    assert [response.type_url for response in line.stream.responses()] == [CLUSTER, SCOPE]


def test_an_explicit_wildcard_gets_everything() -> None:
    line = Line()
    line.change("iris", "a")
    line.stream.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, resource_names_subscribe=["*"]))
    (response,) = line.stream.responses()
    assert [sent.name for sent in response.resources] == ["iris"]


def test_an_empty_wildcard_subscription_is_answered() -> None:
    """Envoy waits for a first answer before it opens its listeners."""
    line = Line()
    line.stream.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER))
    (response,) = line.stream.responses()
    assert not response.resources
    assert list(line.stream.responses()) == []
