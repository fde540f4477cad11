"""Usage metrics as parts: the hodometer, and the receiver that keeps them on this machine. No other part needs them."""

from compose.process.common import our_code, url
from compose.process.home import Home
from compose.process.program import Program
from compose.process.settings import Settings


def programs(settings: Settings, home: Home) -> tuple[Program, ...]:
    """None of them without the profile `usage`."""
    return (_receiver(settings, home), _hodometer(settings, home)) if settings.has("usage") else ()


def _receiver(settings: Settings, home: Home) -> Program:
    port = settings.port("HODOMETER_RECEIVER_PORT")
    return Program(
        name="hodometer-receiver",
        command=(str(home.python("main")), "-m", "services.hodometer_receiver"),
        directory=home.root,
        ready_url=url(settings, port, "/ready"),
        ports=(port,),
        environment={
            "HODOMETER_RECEIVER_HOST": settings.bind_host,
            "LISTEN_PORT": str(port),
            "LOG_LEVEL": settings["HODOMETER_LOG_LEVEL"],
            "RECORD_LEVEL": settings["HODOMETER_RECEIVER_RECORD_LEVEL"],
            **our_code(home),
        },
    )


def _hodometer(settings: Settings, home: Home) -> Program:
    return Program(
        name="hodometer",
        command=(str(home.python("main")), "-m", "services.hodometer"),
        directory=home.root,
        ready_url=None,
        ports=(),
        environment={
            "SCHEDULER_HOST": settings.host,
            "SCHEDULER_PLAINTXT_PORT": settings["SCHEDULER_SERVER_PORT"],
            # It wants to know this one too, and uses it with certificates only.
            "SCHEDULER_TLS_PORT": settings["SCHEDULER_SERVER_PORT"],
            "METRICS_LEVEL": settings["HODOMETER_METRICS_LEVEL"],
            "LOG_LEVEL": settings["HODOMETER_LOG_LEVEL"],
            "CLUSTER_ID": settings["CLUSTER_ID"],
            "PUBLISH_URL": url(settings, settings.port("HODOMETER_RECEIVER_PORT"), ""),
            "EXTRA_PUBLISH_URLS": settings["HODOMETER_EXTRA_PUBLISH_URLS"],
            **our_code(home),
        },
    )
