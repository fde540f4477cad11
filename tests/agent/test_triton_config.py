"""config.pbtxt keeps every character but its name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.repository.triton_config import cpu_instances, parse_config, with_name
from shared.errors import InvalidInput

FULL = """\
# name: "in a comment"
platform: "onnxruntime_onnx" max_batch_size: 8
name: 'mine' "continued"   # the model
input [
  { name: "INPUT0", data_type: TYPE_FP32, dims: [ 1, -1 ] },
  { name: "INPUT1" data_type: TYPE_FP32 dims: 16 }
]
parameters: { key: "name: \\"x\\" {" value: { string_value: "a } b" } }
dynamic_batching < preferred_batch_size: [4, 8] >
version_policy { latest { num_versions: 1 } };
optimization { ratio: 1.5e-3 }
instance_group [ { kind: KIND_GPU count: 5 }, { count: 3 kind: KIND_CPU } ]
"""


def test_the_top_name_alone_is_replaced() -> None:
    expected = FULL.replace("name: 'mine' \"continued\"", 'name: "mine_1"')
    assert with_name(FULL, "mine_1") == expected
    assert with_name('backend: "python"\n', "m_1") == 'name: "m_1"\nbackend: "python"\n'
    assert with_name("", "m_1") == 'name: "m_1"\n'


texts = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=20)


@given(texts, st.lists(texts, max_size=3), texts)
def test_strings_and_comments_never_confuse(own: str, others: list[str], comment: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    inner = "".join(f"  parameters {{ name: {quoted(other)} }}\n" for other in others)
    config = f"# {comment}\n{inner}name: {quoted(own)}\n{inner}"
    renamed = with_name(config, "m_1")
    assert parse_config(renamed).name == "m_1"
    assert with_name(renamed, "other") == with_name(config, "other")
    assert renamed == config.replace(f"\nname: {quoted(own)}\n", '\nname: "m_1"\n')


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (FULL, 3),
        ("", 1),
        ("instance_group [ { kind: KIND_GPU count: 4 } ]", 1),
        ("instance_group { kind: KIND_CPU }", 1),
        ('backend: "onnxruntime" instance_group { kind: KIND_CPU }', 2),
        ('platform: "tensorflow_graphdef" instance_group: [{ kind: KIND_CPU, count: 0 }]', 2),
    ],
)
def test_copies_in_main_memory(config: str, count: int) -> None:
    assert cpu_instances(parse_config(config)) == count


@pytest.mark.parametrize(
    "config",
    ['name: "open', "name", "a { b: 1", "}", "a: [1, 2", "?", "{" * 5, "name: 'a' name: 'b'", "name: 3"],
)
def test_broken_files_are_named(config: str) -> None:
    with pytest.raises(InvalidInput, match=r"config\.pbtxt is not protobuf text format: line 1: "):
        with_name(config, "m_1")


def test_a_value_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not protobuf text format"):
        with_name("a: ]", "m_1")


def test_what_is_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        with_name("a {" * 100_000, "m_1")


@pytest.mark.parametrize(
    "config",
    [
        'foo: name name: "mine"',
        "a < name: 'x' > name :'mi' 'ne'",
        'instance_group [{ name: "inner" }] # name: "c"\r\n name: "mine"',
        'model_warmup [ { name: "w" inputs [ { key: "x" } ] } ] name: "mine"',
    ],
)
def test_only_the_models_own_name_is_meant(config: str) -> None:
    assert parse_config(config).name == "mine"
    renamed = with_name(config, "m_1")
    assert parse_config(renamed).name == "m_1"
    assert renamed.count("name") == config.count("name")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert isinstance(with_name(text, "m_1"), str)
