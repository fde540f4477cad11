"""`inspect`: the records of a pipeline and its steps, as they lie on Kafka."""

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from services.cli import options
from services.cli.config_registry import active_config, deployment_config
from services.cli.connections import connect_scheduler
from services.cli.output import note, show

if TYPE_CHECKING:
    from services.cli.inspection import Message, View
    from services.cli.topic_reader import Search
    from shared.kafka.config import KafkaConfig
    from shared.kafka.reader import Record

_SEARCHED: Final = 1000
"""How many records of each partition are looked through for those of the pipeline, at least."""


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
            help=f"How many of the pipeline's newest records of each partition: 1, or {_SEARCHED} with --request-id.",
            show_default=False,
        ),
    ] = None,
    request_id: Annotated[
        str,
        typer.Option(
            "--request-id",
            metavar="ID",
            help="Only this request: its key, an id in its key, or its x-request-id.",
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
            help="How long to read at most; also how long to wait for a first record of a single topic.",
        ),
    ] = 5,
    scheduler_host: options.SchedulerHost = None,
) -> None:
    """Show the newest records of a pipeline's topics.

    Only records that belong to the pipeline are shown; others share the topics of its models. KAFKA_SECURITY_PROTOCOL
    and the other variables of Kafka clients say how to connect.
    """
    from services.cli.inspection import View, json_document, parse_expression, raw_lines, topics_of
    from services.cli.kafka_address import kafka_config
    from services.cli.statuses import latest_pipeline
    from services.cli.topic_reader import Search
    from shared.logs import configure

    # The library reports every failed attempt; the command reports the last one, in a sentence.
    configure("seldon", "error", kafka_level="critical")
    view = View(parse_expression(expression), request_id, verbose, truncate)
    deployment = deployment_config(os.environ)
    config = kafka_config(kafka_broker, kafka_config_path, namespace, active_config(), os.environ, deployment)
    with connect_scheduler(scheduler_host, "") as scheduler:
        newest = latest_pipeline(scheduler.pipeline_status(view.expression.pipeline))
    topics = topics_of(view.expression, [step.name for step in newest.pipeline.steps], config.topics)
    shown = offset or (_SEARCHED if request_id else 1)
    search = Search(max(shown, _SEARCHED), shown, timeout, wait=len(topics) == 1)
    read = asyncio.run(_read(config, view, topics, search))
    if output_format == "json":
        show(json_document(view, read))
        return
    for topic, messages in read:
        show("\n".join(raw_lines(view, topic, messages)))


async def _read(
    config: "KafkaConfig", view: "View", topics: list[str], search: "Search"
) -> list[tuple[str, list["Message"]]]:
    """The topics in order, each with its records."""
    from services.cli.inspection import message_of
    from services.cli.topic_reader import TopicReader
    from shared.kafka.headers import PIPELINE, first

    orphans: Counter[str] = Counter()

    def wanted(record: "Record") -> bool:
        orphans[record.topic] += first(record.headers, PIPELINE) is None
        return view.wants(record.key, record.headers)

    async with TopicReader(config) as reader:
        found = await reader.newest(topics, search, wanted)
    for topic in topics:
        if orphans[topic]:
            note(
                f"{topic}: {orphans[topic]} of its newest records belong to no pipeline: No pipeline found in headers."
            )
        if topic in found.unfinished:
            note(f"{topic}: not read to its end within {search.seconds:g} s: --timeout-secs gives it more time")
    return [
        (topic, [message_of(view, topic, each.key, each.value, each.headers) for each in found.records[topic]])
        for topic in topics
    ]
