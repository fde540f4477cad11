"""Who gets which record."""

from services.dataflow.core.index import Index

ACCEPTS = {"p.inputs": {"p"}, "m.outputs": {"p", "other"}, "errors": {"p"}}
PARTITIONS = [(topic, number) for topic in ACCEPTS for number in (0, 2)]


def test_own_records_are_found_by_version_and_what_enters_by_any() -> None:
    index: Index[str] = Index()
    index.add("one", "p", 1, "p.inputs", ACCEPTS, PARTITIONS)
    index.add("two", "p", 2, "p.inputs", ACCEPTS, PARTITIONS)
    outputs = index.of(("m.outputs", 2))
    assert outputs is not None
    assert outputs[b"p"].of_version == {b"1": ["one"], b"2": ["two"]}
    assert outputs[b"p"].of_any == []
    assert outputs[b"other"].of_any == ["one", "two"]
    inputs = index.of(("p.inputs", 0))
    assert inputs is not None
    assert inputs[b"p"].of_any == ["one", "two"]


def test_a_partition_has_only_those_readers_that_it_belongs_to() -> None:
    index: Index[str] = Index()
    index.add("one", "p", 1, "p.inputs", ACCEPTS, [("m.outputs", 0)])
    index.add("two", "q", 1, "q.inputs", {"m.outputs": {"q"}}, [("m.outputs", 0), ("m.outputs", 1)])
    shared, other = index.of(("m.outputs", 0)), index.of(("m.outputs", 1))
    assert shared is not None
    assert other is not None
    assert shared.keys() == {b"p", b"other", b"q"}
    assert other.keys() == {b"q"}


def test_what_nobody_reads_is_forgotten() -> None:
    index: Index[str] = Index()
    index.add("one", "p", 1, "p.inputs", ACCEPTS, PARTITIONS)
    index.add("two", "p", 2, "p.inputs", ACCEPTS, PARTITIONS)
    index.remove("one", ACCEPTS, PARTITIONS)
    errors = index.of(("errors", 0))
    assert errors is not None
    assert errors[b"p"].of_version == {b"2": ["two"]}
    index.remove("two", ACCEPTS, PARTITIONS)
    assert [index.of(partition) for partition in PARTITIONS] == [None] * len(PARTITIONS)
