"""The connection of what administers: topics, and offsets of groups."""

from aiokafka.admin import AIOKafkaAdminClient

from shared.kafka.config import KafkaConfig


class AdminConnection:
    """Base of those that need one; usable between `start` and `stop`."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._connected: AIOKafkaAdminClient | None = None

    @property
    def _admin(self) -> AIOKafkaAdminClient:
        assert self._connected is not None, "start it first"
        return self._connected

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError when no broker answers."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._config.bootstrap_servers, **self._config.connection)
        try:
            await admin.start()
        except BaseException:
            await admin.close()
            raise
        self._connected = admin

    async def stop(self) -> None:
        if self._connected is not None:
            await self._connected.close()
            self._connected = None
