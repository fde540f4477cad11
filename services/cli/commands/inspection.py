"""`inspect`: the records of a pipeline and its steps, as they lie on Kafka."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from services.cli import options
from services.cli.config_registry import active_config, deployment_config
from services.cli.connections import connect_scheduler
from services.cli.output import note, show

if TYPE_CHECKING:
    from services.cli.inspection import Message, View
    from services.cli.topic_reader import TopicReader
    from shared.kafka.config import KafkaConfig
    from shared.kafka.reader import Record

_SEARCHED: Final = 1000
"""How many records of each partition are looked through for a request, unless told."""


def inspect(
    expression: Annotated[
        str,
        typer.Argument(
            metavar="PIPELINE[.STEP][.inputs|.outputs[.TENSOR]]",
            help="A pipeline with all its steps, one step, one topic, or one tensor of it.",
            show_default=False,
        ),
    ],
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset",
            min=1,
            metavar="COUNT",
            help=f"How many of the newest records of each partition to look at: 1, or {_SEARCHED} with --request-id.",
            show_default=False,
        ),
    ] = None,
    request_id: Annotated[
        str,
        typer.Option(
            "--request-id", metavar="ID", help="Only this request: its key, the last part of it, or its x-request-id."
        ),
    ] = "",
    output_format: Annotated[Literal["raw", "json"], typer.Option("--format", help="For people, or for programs.")] = (
        "raw"
    ),
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", help="Part of the names of topics. Also POD_NAMESPACE; default default.", show_default=False
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the headers of records too.")] = False,
    truncate: Annotated[bool, typer.Option("--truncate", "-t", help="Leave out what tensors contain.")] = False,
    kafka_broker: Annotated[
        str | None,
        typer.Option(
            "--kafka-broker",
            metavar="HOST:PORT",
            help="Kafka to read from. Also SELDON_KAFKA_BROKER; `seldon config addresses` shows it.",
            show_default=False,
        ),
    ] = None,
    kafka_config_path: Annotated[
        str | None,
        typer.Option(
            "--kafka-config-path",
            metavar="FILE",
            help="A kafka.json with brokers and prefix of topics. Also SELDON_KAFKA_CONFIG_PATH.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        int,
        typer.Option(
            "--timeout-secs",
            "-d",
            min=1,
            metavar="SECONDS",
            help="How long to read a topic, and to wait for a first record where only one topic is asked for.",
        ),
    ] = 5,
    scheduler_host: options.SchedulerHost = None,
) -> None:
    """Show the newest records of a pipeline's topics.

    Only records that belong to the pipeline are shown; others share the topics of its models. KAFKA_SECURITY_PROTOCOL
    and the other variables of Kafka clients say how to connect.
    """
    from services.cli.inspection import View, parse_expression, topics_of
    from services.cli.kafka_address import kafka_config
    from services.cli.statuses import latest_pipeline
    from shared.logs import configure

    # The library reports every failed attempt; the command reports the last one, in a sentence.
    configure("seldon", "error", kafka_level="critical")
    view = View(parse_expression(expression), request_id, verbose, truncate)
    deployment = deployment_config(os.environ)
    config = kafka_config(kafka_broker, kafka_config_path, namespace, active_config(), os.environ, deployment)
    with connect_scheduler(scheduler_host, "") as scheduler:
        newest = latest_pipeline(scheduler.pipeline_status(view.expression.pipeline))
    topics = topics_of(view.expression, [step.name for step in newest.pipeline.steps], config.topics)
    count = offset or (_SEARCHED if request_id else 1)
    asyncio.run(_show(view, output_format, _read(config, view, topics, count, timeout)))


async def _show(view: "View", output_format: str, read: AsyncIterator[tuple[str, list["Message"]]]) -> None:
    from services.cli.inspection import json_document, raw_lines

    if output_format == "json":
        show(json_document(view, [each async for each in read]))
        return
    async for topic, messages in read:
        show("\n".join(raw_lines(view, topic, messages)))


async def _read(
    config: "KafkaConfig", view: "View", topics: list[str], count: int, seconds: float
) -> AsyncIterator[tuple[str, list["Message"]]]:
    """The topics one after the other, each with its records."""
    from services.cli.topic_reader import TopicReader

    async with TopicReader(config) as reader:
        for topic in topics:
            yield topic, await _messages(reader, view, topic, count, seconds, wait=len(topics) == 1)


async def _messages(
    reader: "TopicReader", view: "View", topic: str, count: int, seconds: float, *, wait: bool
) -> list["Message"]:
    from services.cli.inspection import message_of
    from shared.kafka.headers import PIPELINE, first

    orphans = 0

    def wanted(record: "Record") -> bool:
        nonlocal orphans
        orphans += first(record.headers, PIPELINE) is None
        return view.wants(record.key, record.headers)

    records = await reader.newest(topic, count, seconds, wanted, wait)
    if orphans:
        note(f"{topic}: {orphans} of its newest records belong to no pipeline: No pipeline found in headers.")
    return [message_of(view, topic, each.key, each.value, each.headers) for each in records]
