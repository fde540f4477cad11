"""Flags that several commands share."""

from typing import Annotated, Literal, TypeAlias

import typer

SchedulerHost: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scheduler-host",
        metavar="HOST:PORT",
        help="Scheduler to talk to. Also SELDON_SCHEDULE_HOST; `seldon config addresses` shows it.",
        show_default=False,
    ),
]
InferenceHost: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--inference-host",
        metavar="HOST:PORT",
        help="Data plane to talk to. Also SELDON_INFER_HOST; `seldon config addresses` shows it.",
        show_default=False,
    ),
]
SchedulerHttpHost: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scheduler-http-host",
        metavar="HOST:PORT",
        help="The scheduler's HTTP port. Also SELDON_SCHEDULER_HTTP_HOST; `seldon config addresses` shows it.",
        show_default=False,
    ),
]
Authority: TypeAlias = Annotated[
    str, typer.Option("--authority", metavar="NAME", help="HTTP Host header or gRPC authority to send.")
]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the request, and the answer of changes too.")
]
Force: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--force/--no-force",
        help="Change the system directly. Also SELDON_FORCE_CONTROL_PLANE; on unless inside Kubernetes.",
        show_default=False,
    ),
]
RequiredFile: TypeAlias = Annotated[
    str, typer.Option("--file-path", "-f", metavar="FILE", help="Manifest: YAML or JSON.", show_default=False)
]
OptionalFile: TypeAlias = Annotated[
    str, typer.Option("--file-path", "-f", metavar="FILE", help="Manifest: YAML or JSON.", show_default=False)
]
Timeout: TypeAlias = Annotated[
    int, typer.Option("--timeout-secs", "-t", min=0, metavar="SECONDS", help="How long to wait with --wait.")
]
Output: TypeAlias = Annotated[Literal["table", "json"], typer.Option("--output", help="For people, or for programs.")]
