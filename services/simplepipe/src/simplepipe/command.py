"""The command `simplepipe`: push the metrics of a file, or delete those of a job."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from simplepipe import settings
from simplepipe.core.exposition import instruments_of, text_of
from simplepipe.core.names import checked_grouping, checked_job
from simplepipe.errors import GatewayRefused, GatewayUnavailable, InvalidArgument, SimplepipeError
from simplepipe.files import load_metrics_from_file

UNAVAILABLE, USAGE, INVALID, REFUSED = 1, 2, 3, 4
_EPILOG = """\
exit status:
  0  done
  1  the Pushgateway does not answer before the deadline
  2  wrong arguments or settings
  3  a file that is not there, is no JSON list, or has wrong metrics; nothing was pushed
  4  the Pushgateway refused; nothing was pushed

settings, from the environment or from .env in the working folder:
  PUSH_GATEWAY_HOSTNAME          host:port or URL of the Pushgateway; http://localhost:9091 without it
  PROD_ENABLED                   true: PUSH_GATEWAY_HOSTNAME has to be given
  PUSH_GATEWAY_USERNAME          and PUSH_GATEWAY_PASSWORD: basic authentication
  PUSH_GATEWAY_CA_FILE           authorities to trust, for https
  PUSH_GATEWAY_CERT_FILE         and PUSH_GATEWAY_KEY_FILE: certificate of this client
  PUSH_GATEWAY_TIMEOUT_SECONDS   of one try (10)
  PUSH_GATEWAY_DEADLINE_SECONDS  after which there is no further try (10)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status, and writes errors to stderr."""
    logging.basicConfig(level=logging.WARNING, format="simplepipe: %(message)s", stream=sys.stderr)
    arguments = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    try:
        print(_push(arguments) if arguments.command == "push" else _delete(arguments))
    except SimplepipeError as error:
        print(f"simplepipe: {error}", file=sys.stderr)
        return _status(error)
    return 0


def _push(arguments: argparse.Namespace) -> str:
    # What is wrong with the arguments is said before a large file is read.
    grouping = _grouping(arguments)
    job = checked_job(arguments.job)
    collector = settings.collector_of(settings.load(), grouping)
    metrics = load_metrics_from_file(arguments.file)
    if arguments.dry_run:
        return text_of(instruments_of(metrics, grouping)).rstrip("\n")
    collector.push_to_gateway(metrics, job)
    return f"pushed {len(metrics)} metrics as job {job} to {collector.gateway.url}"


def _delete(arguments: argparse.Namespace) -> str:
    collector = settings.collector_of(settings.load(), _grouping(arguments))
    collector.delete(arguments.job)
    return f"deleted job {arguments.job} from {collector.gateway.url}"


def _grouping(arguments: argparse.Namespace) -> dict[str, str]:
    key: dict[str, str] = {}
    for written in arguments.grouping:
        name, equals, value = written.partition("=")
        if not equals:
            raise InvalidArgument("--grouping", written, "write NAME=VALUE")
        key[name] = value
    return checked_grouping(key)


def _status(error: SimplepipeError) -> int:
    if isinstance(error, GatewayUnavailable):
        return UNAVAILABLE
    if isinstance(error, InvalidArgument):
        return USAGE
    return REFUSED if isinstance(error, GatewayRefused) else INVALID


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="simplepipe",
        description="Metrics of jobs into Prometheus, through a Pushgateway.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    push = commands.add_parser("push", help="replace what a job shows by the metrics of a file")
    push.add_argument("file", metavar="FILE", help="a .json file with a list of metrics")
    push.add_argument("--dry-run", action="store_true", help="print what would be pushed, and push nothing")
    delete = commands.add_parser("delete", help="take what a job shows out of the Pushgateway")
    for command in (push, delete):
        command.add_argument("job", metavar="JOB", help="name of the job")
        command.add_argument(
            "--grouping", action="append", default=[], metavar="NAME=VALUE",
            help="a label that belongs to the group's name, as in --grouping instance=2; may be repeated",
        )  # fmt: skip
    return made


if __name__ == "__main__":
    sys.exit(main())
