"""What `--help` says: the variables that the collector reads."""

import argparse
from typing import Final

MEANINGS: Final = {
    "SCHEDULER_HOST": "the scheduler (seldon-scheduler)",
    "SCHEDULER_PLAINTXT_PORT": "its port, usually 9004; must be set, or SCHEDULER_PORT in its place",
    "SCHEDULER_TLS_PORT": "its port for encrypted connections, usually 9044; must be set",
    "METRICS_LEVEL": "how much is collected: cluster, resource or feature (feature)",
    "PUBLISH_URL": "main receiver: http://, https://, or stdout: to print events",
    "EXTRA_PUBLISH_URLS": "more of them, separated by commas",
    "CLUSTER_ID": "a UUID that stays over restarts (a random one)",
    "PUBLISH_INTERVAL_SECONDS": "from the end of one run to the start of the next (28800)",
    "LOG_LEVEL": "least severe lines that are logged (info)",
    "CONTROL_PLANE_SECURITY_PROTOCOL": "SSL for an encrypted connection to the scheduler (PLAINTEXT)",
    "CONTROL_PLANE_CLIENT_TLS_KEY_LOCATION": "PEM file of the collector's key",
    "CONTROL_PLANE_CLIENT_TLS_CRT_LOCATION": "PEM file of its certificate",
    "CONTROL_PLANE_CLIENT_TLS_CA_LOCATION": "stands in for CONTROL_PLANE_SERVER_TLS_CA_LOCATION",
    "CONTROL_PLANE_SERVER_TLS_CA_LOCATION": "PEM file that the scheduler's certificate is checked with",
    "COLLECTOR_GIT_COMMIT": "commit that the collector was built from",
}
"""With the default in brackets."""


def parse(arguments: list[str] | None = None) -> None:
    """There are no options but --help. Exits after it, and with status 2 and a sentence for any other."""
    parser = argparse.ArgumentParser(
        prog="python -m services.hodometer",
        description="Usage metrics: counts what a deployment holds and pushes the counts to receivers of your choice.",
        epilog="Environment variables:\n" + "\n".join(f"  {name}\n      {text}" for name, text in MEANINGS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
