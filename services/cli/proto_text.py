"""Protobuf messages as JSON."""

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


def proto_json(message: Message, indent: int | None = 2) -> str:
    """proto3 JSON: camelCase names, defaults left out, 64-bit integers as strings, enums by name."""
    return MessageToJson(message, indent=indent)
