"""A stream of YAML or JSON documents as plain values, each with its number."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from shared.errors import InvalidInput


def read_documents(text: str) -> Iterator[tuple[int, Any]]:
    """Pairs of document number (from 1) and value; empty documents are passed over.

    The stream is read as it is consumed, so that documents before a broken one are still delivered.
    Raises InvalidInput with the place of the fault.
    """
    if text.lstrip().startswith("{") and not _has_yaml_separator(text):
        yield from _json_documents(text)
    else:
        yield from _yaml_documents(text)


def _has_yaml_separator(text: str) -> bool:
    return any(line.startswith("---") for line in text.splitlines())


def _json_documents(text: str) -> Iterator[tuple[int, Any]]:
    """JSON values one after another; a first value that is no JSON may still be YAML in flow style."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    position = number = 0
    while rest := text[position:].lstrip():
        position = len(text) - len(rest)
        number += 1
        try:
            value, position = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError) as error:
            if number == 1:
                yield from _yaml_documents(text)
                return
            raise InvalidInput(f"document {number} is no JSON: {error}") from None
        yield number, value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f'field "{twice}" is given twice')
    return made


def _yaml_documents(text: str) -> Iterator[tuple[int, Any]]:
    number = 0
    documents = yaml.load_all(text, Loader=_Loader)
    while True:
        number += 1
        try:
            value = next(documents)
        except StopIteration:
            return
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise InvalidInput(f"document {number} is no YAML: {' '.join(str(error).split())}") from None
        if value is not None:
            yield number, value


class _Loader(yaml.SafeLoader):
    """Safe YAML without timestamps (a date stays text, as in JSON) and without repeated keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(getattr(key, "value", ""))
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f'field "{name}" is given twice', key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
