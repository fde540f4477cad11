"""The generated code is exactly the wire contract that peers were built against, with nothing missing or extra."""

import csv
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mlops
import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

GOLDEN = Path(__file__).with_name("wire_contract.tsv")


class Row(NamedTuple):
    """One line of the golden file; what does not apply to its kind is empty."""

    kind: str
    name: str
    number_or_request: str = ""
    type_or_response: str = ""
    label: str = ""


def golden_rows() -> list[Row]:
    with GOLDEN.open(newline="") as lines:
        return [Row(*line) for line in csv.reader(lines, delimiter="\t")][1:]


def generated_rows() -> list[Row]:
    modules = [info.name for info in pkgutil.walk_packages(mlops.__path__, "mlops.") if info.name.endswith("_pb2")]
    rows: list[Row] = []
    for name in modules:
        file = FileDescriptorProto()
        importlib.import_module(name).DESCRIPTOR.CopyToProto(file)
        rows.extend(_file_rows(file))
    return rows


def _file_rows(file: FileDescriptorProto) -> Iterator[Row]:
    yield Row("file", file.name, type_or_response=file.package)
    for message in file.message_type:
        yield from _message_rows(message, file.package)
    for enum in file.enum_type:
        yield from _enum_rows(enum, file.package)
    for service in file.service:
        yield from _service_rows(service, file.package)


def _message_rows(message: DescriptorProto, scope: str) -> Iterator[Row]:
    name = f"{scope}.{message.name}"
    maps = {f".{name}.{nested.name}": nested for nested in message.nested_type if nested.options.map_entry}
    yield Row("message", name)
    for field in message.field:
        number = str(field.number)
        if entry := maps.get(field.type_name):
            key, value = (_type_name(part) for part in entry.field)
            yield Row("field", f"{name}.{field.name}", number, f"map<{key},{value}>")
        else:
            yield Row("field", f"{name}.{field.name}", number, _type_name(field), _label(field, message))
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from _message_rows(nested, name)
    for enum in message.enum_type:
        yield from _enum_rows(enum, name)


def _enum_rows(enum: EnumDescriptorProto, scope: str) -> Iterator[Row]:
    name = f"{scope}.{enum.name}"
    yield Row("enum", name)
    for value in enum.value:
        yield Row("value", f"{name}.{value.name}", str(value.number))


def _service_rows(service: ServiceDescriptorProto, scope: str) -> Iterator[Row]:
    name = f"{scope}.{service.name}"
    yield Row("service", name)
    for method in service.method:
        request = "stream " * method.client_streaming + method.input_type.removeprefix(".")
        response = "stream " * method.server_streaming + method.output_type.removeprefix(".")
        yield Row("method", f"{name}.{method.name}", request, response)


def _type_name(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.removeprefix(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _label(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    if field.proto3_optional:
        return "optional"
    if field.HasField("oneof_index"):
        return f"oneof {message.oneof_decl[field.oneof_index].name}"
    return "repeated" if field.label == FieldDescriptorProto.Label.LABEL_REPEATED else ""


GOLDEN_ROWS = golden_rows()
GENERATED_ROWS = generated_rows()


def test_golden_file_holds_the_whole_contract_once() -> None:
    kinds = [row.kind for row in GOLDEN_ROWS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "file": 10,
        "message": 129,
        "field": 388,
        "enum": 18,
        "value": 88,
        "service": 7,
        "method": 39,
    }
    assert len(set(GOLDEN_ROWS)) == len(GOLDEN_ROWS)


@pytest.mark.parametrize("kind", ["file", "message", "field", "enum", "value", "service", "method"])
def test_generated_code_equals_the_contract(kind: str) -> None:
    golden = {row.name: row for row in GOLDEN_ROWS if row.kind == kind}
    generated = {row.name: row for row in GENERATED_ROWS if row.kind == kind}
    differences = [
        f"{name}: contract {golden.get(name, 'has none')}, generated {generated.get(name, 'has none')}"
        for name in sorted(golden.keys() | generated.keys())
        if golden.get(name) != generated.get(name)
    ]
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("module", ["infer_request_pb2", "infer_response_pb2"])
def test_registry_schemas_have_one_top_level_message_and_stand_alone(module: str) -> None:
    """Their message index in a schema registry is then [0], and one file is the whole schema."""
    file = importlib.import_module(f"mlops.v2_dataplane.schema_registry.{module}").DESCRIPTOR
    assert len(file.message_types_by_name) == 1
    assert not file.dependencies
