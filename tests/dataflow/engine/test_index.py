"""Who gets which record."""

from services.dataflow.core.index import Index

ACCEPTS = {"p.inputs": {"p"}, "m.outputs": {"p", "other"}, "errors": {"p"}}


def test_own_records_are_found_by_version_and_what_enters_by_any() -> None:
    index: Index[str] = Index()
    index.add("one", "p", 1, "p.inputs", ACCEPTS)
    index.add("two", "p", 2, "p.inputs", ACCEPTS)
    outputs = index.of("m.outputs")
    assert outputs is not None
    assert outputs[b"p"].of_version == {b"1": ["one"], b"2": ["two"]}
    assert outputs[b"p"].of_any == []
    assert outputs[b"other"].of_any == ["one", "two"]
    inputs = index.of("p.inputs")
    assert inputs is not None
    assert inputs[b"p"].of_any == ["one", "two"]


def test_what_nobody_reads_is_forgotten() -> None:
    index: Index[str] = Index()
    index.add("one", "p", 1, "p.inputs", ACCEPTS)
    index.add("two", "p", 2, "p.inputs", ACCEPTS)
    index.remove("one", ACCEPTS)
    errors = index.of("errors")
    assert errors is not None
    assert errors[b"p"].of_version == {b"2": ["two"]}
    index.remove("two", ACCEPTS)
    assert [index.of(topic) for topic in ACCEPTS] == [None, None, None]
