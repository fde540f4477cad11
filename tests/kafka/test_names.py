"""Names that other systems know: topics, consumer groups, keys."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.kafka.names import GroupNames, TopicNames, bucket, partition_of, record_key

_name = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


def test_topics() -> None:
    names = TopicNames("seldon", "prod")
    assert names.model_inputs("iris") == "seldon.prod.model.iris.inputs"
    assert names.model_outputs("iris") == "seldon.prod.model.iris.outputs"
    assert names.pipeline_inputs("p") == "seldon.prod.pipeline.p.inputs"
    assert names.pipeline_outputs("p") == "seldon.prod.pipeline.p.outputs"
    assert names.errors == "seldon.prod.errors.errors"


@settings(deadline=None)
@given(prefix=st.sampled_from(["seldon", "a.b", "x-y_z"]), namespace=st.sampled_from(["default", "n.s"]), name=_name)
def test_a_topic_tells_what_it_is_of(prefix: str, namespace: str, name: str) -> None:
    names = TopicNames(prefix, namespace)
    assert names.split(names.model_inputs(name)) == ("model", name, "inputs")
    assert names.split(names.pipeline_outputs(name)) == ("pipeline", name, "outputs")
    assert names.split(names.errors) is None
    assert names.split("other." + names.model_inputs(name)) is None


@pytest.mark.parametrize("wrong", ["", "a b", "a/b", "ä", "a\n"])
def test_a_wrong_prefix_is_named(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="topicPrefix"):
        TopicNames(wrong)
    with pytest.raises(InvalidInput, match="namespace"):
        TopicNames(namespace=wrong)


# The published test vectors of FNV-1a with 32 bits.
@pytest.mark.parametrize(
    ("text", "digest"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("b", 0xE70C2DE5), ("foobar", 0xBF9CF968)]
)
def test_buckets_are_fnv_1a(text: str, digest: int) -> None:
    assert bucket(text, 1 << 32) == digest
    assert bucket(text, 100) == digest % 100


def test_groups_of_gateways_share_buckets() -> None:
    assert GroupNames().gateway("seldon-modelgateway", "foobar") == f"default-seldon-modelgateway-{0xBF9CF968 % 100}"
    named = GroupNames("corp", "prod").gateway("seldon-pipelinegateway", "a", max_consumers=1)
    assert named == "corp-prod-seldon-pipelinegateway-0"


def test_groups_of_pipelines_are_short() -> None:
    assert GroupNames("corp", "prod").dataflow("0123456789abcdef") == "corp-prod-seldon-dataflow-0123456789abcdef"
    fox = "The quick brown fox jumps over the lazy dog"
    assert GroupNames().dataflow(fox) == "default-seldon-dataflow-9e107d9d372bb6826bd81d3542a419d6"


def test_a_digest_has_no_leading_zeros() -> None:
    uid = next(text for i in range(10_000) if _md5(text := f"uid-{i:020d}").startswith("0"))
    assert GroupNames().dataflow(uid) == "default-seldon-dataflow-" + _md5(uid).lstrip("0")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@settings(deadline=None)
@given(partition=st.integers(0, 999), partitions=st.integers(1, 1000), resource=_name, request_id=_name)
def test_a_key_names_its_partition(partition: int, partitions: int, resource: str, request_id: str) -> None:
    key = record_key(partition, resource, request_id)
    assert key == f"{partition}.{resource}.{request_id}".encode()
    assert partition_of(key, partitions) == (partition if partition < partitions else partitions - 1)


@settings(deadline=None)
@given(key=st.none() | st.binary(max_size=20), partitions=st.integers(1, 10))
def test_any_key_gives_a_partition_that_exists(key: bytes | None, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@pytest.mark.parametrize("key", [None, b"", b"abc", b"-1.x", b"x.1"])
def test_a_key_without_a_partition_goes_to_the_first(key: bytes | None) -> None:
    assert partition_of(key, 5) == 0
