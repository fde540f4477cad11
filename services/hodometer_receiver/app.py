"""Wires the receiver: one HTTP port, one record in memory."""

from services.hodometer_receiver.core.record import Record
from services.hodometer_receiver.http_api import http_app
from services.hodometer_receiver.settings import ReceiverSettings
from shared.http_server import HttpServer
from shared.logs import logger
from shared.probes import Readiness
from shared.process import stop_requested

_PORT = "port"
_log = logger("app")


async def run(settings: ReceiverSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = stop_requested()
    readiness = Readiness([_PORT])
    app = http_app(Record(settings.record_level), readiness)
    async with HttpServer(app, settings.host, settings.listen_port):
        readiness.satisfied(_PORT)
        _log.info("started", port=settings.listen_port, record_level=settings.record_level.value)
        await stopping.wait()
        _log.info("stopping")
