"""Attributes of the spans of Kafka records."""

from shared.kafka.headers import PIPELINE, REQUEST_ID, Headers, text


def destination(topic: str) -> dict[str, str]:
    """Where a record is written to, or was read from."""
    return {"messaging.system": "kafka", "messaging.destination.name": topic}


def of_request(headers: Headers) -> dict[str, str]:
    """Which request a record belongs to; empty texts where it does not say."""
    return {REQUEST_ID: text(headers, REQUEST_ID) or "", "pipeline": text(headers, PIPELINE) or ""}


def of_record(topic: str, headers: Headers) -> dict[str, str]:
    return {**of_request(headers), **destination(topic)}
