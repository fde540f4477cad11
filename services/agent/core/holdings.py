"""What a replica holds, in which state, and how much memory that leaves: bookkeeping without any I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from mlops.agent import agent_pb2

from shared.errors import SeldonError
from shared.model_definition import loads_the_same
from shared.names import internal_name


class ModelState(Enum):
    """Where a model is between the scheduler's wish and the server's memory."""

    DOWNLOADING = "downloading"
    LOADING = "loading"
    LOADED = "loaded"
    LOST = "lost"
    """The server was restarted or is gone; the files are here and it will be loaded again."""
    UNLOADING = "unloading"


class DoesNotFit(SeldonError):
    """The replica has too little free memory for a model."""


@dataclass(frozen=True)
class HeldModel:
    """One model version on this replica."""

    internal: str
    definition: agent_pb2.ModelVersion
    state: ModelState
    memory_bytes: int = 0
    """Counted against the replica's memory; 0 while the number of copies is not known yet."""
    loads: int = 0
    """How often the server has loaded it since the agent started: tells two loaded states apart."""
    last_used: int = 0
    """Unix seconds of the last load or of the last request that came through the agent."""

    @property
    def in_memory(self) -> bool:
        return self.state in (ModelState.LOADED, ModelState.UNLOADING)

    @property
    def announced(self) -> bool:
        """Whether the scheduler may count on it: it was loaded, and nobody asked to unload it.

        A model that the server lost and is loading again counts: requests for it wait in the cold path.
        """
        return self.loads > 0 and self.state in (ModelState.LOADED, ModelState.LOST, ModelState.LOADING)


def internal_name_of(definition: agent_pb2.ModelVersion) -> str:
    return internal_name(definition.model.meta.name, definition.version)


def same_model(one: agent_pb2.ModelVersion, other: agent_pb2.ModelVersion) -> bool:
    """Whether both describe the same thing to load; what a server reported about it does not matter."""
    return one.version == other.version and loads_the_same(one.model, other.model)


class Holdings:
    """All models of a replica by internal name, within a memory of `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._models: dict[str, HeldModel] = {}

    def __iter__(self) -> Iterator[HeldModel]:
        return iter(list(self._models.values()))

    def get(self, internal: str) -> HeldModel | None:
        return self._models.get(internal)

    def put(self, model: HeldModel) -> HeldModel:
        self._models[model.internal] = model
        return model

    def change(self, internal: str, state: ModelState) -> HeldModel:
        return self.put(replace(self._models[internal], state=state))

    def loaded(self, internal: str) -> HeldModel:
        """Note that the server has loaded the model."""
        model = self._models[internal]
        return self.put(replace(model, state=ModelState.LOADED, loads=model.loads + 1))

    def used(self, internal: str, now: int) -> None:
        """Note a request for the model at `now`, in Unix seconds."""
        if internal in self._models:
            self.put(replace(self._models[internal], last_used=now))

    def drop(self, internal: str) -> None:
        self._models.pop(internal, None)

    @property
    def available_bytes(self) -> int:
        """Memory that no model takes; never below 0, even when models were adopted beyond the capacity."""
        return max(0, self.capacity_bytes - sum(model.memory_bytes for model in self._models.values()))

    def reserve(self, internal: str, needed_bytes: int) -> HeldModel:
        """Count `needed_bytes` for a model, in place of what was counted before. Raises DoesNotFit."""
        model = self._models[internal]
        taken = sum(other.memory_bytes for other in self._models.values() if other.internal != internal)
        free = max(0, self.capacity_bytes - taken)
        if needed_bytes > free:
            raise DoesNotFit(
                f"model {internal} needs {needed_bytes} bytes and the replica has "
                f"{free} of {self.capacity_bytes} bytes free: "
                "unload models, lower its memory, or use a bigger server"
            )
        return self.put(replace(model, memory_bytes=needed_bytes))

    def highest_version(self, model: str) -> HeldModel | None:
        """The newest loaded version of a model, by its external name."""
        versions = [
            held for held in self._models.values() if held.definition.model.meta.name == model and held.announced
        ]
        return max(versions, key=lambda held: held.definition.version, default=None)
