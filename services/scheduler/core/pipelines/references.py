"""How a pipeline names the streams it reads: `<step>.outputs.<tensor>` and its other forms, read once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from shared.kafka.names import TopicNames

Direction: TypeAlias = Literal["inputs", "outputs"]
_DIRECTIONS: Final = ("inputs", "outputs")
_STEP: Final = "step"


class BadReferenceError(ValueError):
    """The text is no reference; `str(error)` says what is wrong with it and what to write."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One stream of records: of a pipeline itself, or of one of its steps."""

    pipeline: str
    """Whose records are meant: pipelines share the topics of a model that both use."""
    step: str | None
    """None for the pipeline's own inputs or outputs."""
    direction: Direction
    tensor: str | None
    """Only this tensor of the records; None for all of them."""

    def topic(self, names: TopicNames) -> str:
        """The topic that holds the records."""
        if self.step is None:
            named = names.pipeline_inputs if self.direction == "inputs" else names.pipeline_outputs
            return named(self.pipeline)
        return names.model_inputs(self.step) if self.direction == "inputs" else names.model_outputs(self.step)

    @property
    def stream(self) -> "Reference":
        """The same stream with all its tensors."""
        return Reference(self.pipeline, self.step, self.direction, None)


def is_blank(text: str) -> bool:
    """Whether a reference names nothing at all, such as "" or ".outputs"."""
    return not text.strip() or text.startswith(".")


def normalised(text: str, pipeline: str) -> str:
    """A bare name means what the step puts out, or what the pipeline itself takes in."""
    if "." in text or is_blank(text):
        return text
    return f"{text}.inputs" if text == pipeline else f"{text}.outputs"


def normalised_external(text: str) -> str:
    """A bare pipeline, or a bare step of one, means what it puts out."""
    if is_blank(text):
        return text
    parts = text.split(".")
    is_bare = len(parts) == 1 or (len(parts) == 3 and parts[1] == _STEP)
    return f"{text}.outputs" if is_bare else text


def parse(text: str, pipeline: str) -> Reference:
    """A normalised reference within `pipeline`. Raises BadReferenceError."""
    name, *rest = text.split(".")
    direction, tensor = _direction_and_tensor(rest, "<step>.outputs, <step>.inputs or one of these with .<tensor>")
    return Reference(pipeline, None if name == pipeline else name, direction, tensor)


def parse_external(text: str) -> Reference:
    """A normalised reference to a stream of another pipeline. Raises BadReferenceError."""
    pipeline, *rest = text.split(".")
    if not pipeline.strip():
        raise BadReferenceError("it names no pipeline: write <pipeline>.outputs")
    step = None
    form = "<pipeline>.(inputs|outputs)[.<tensor>]"
    if rest[:1] == [_STEP]:
        form = "<pipeline>.step.<step>.(inputs|outputs)[.<tensor>]"
        if len(rest) < 2 or not rest[1].strip():
            raise BadReferenceError(f"it names no step: write {form}")
        step, rest = rest[1], rest[2:]
    elif rest and rest[0] not in _DIRECTIONS:
        raise BadReferenceError(
            f"{rest[0]!r} must be inputs, outputs or step: write {form} or <pipeline>.step.<step>.outputs"
        )
    direction, tensor = _direction_and_tensor(rest, form)
    return Reference(pipeline, step, direction, tensor)


def selected(references: Iterable[Reference]) -> Iterator[Reference]:
    """Each stream and tensor once, in order; tensors of a stream that are named leave no room for the whole of it."""
    distinct = list(dict.fromkeys(references))
    narrowed = {reference.stream for reference in distinct if reference.tensor is not None}
    return (reference for reference in distinct if reference.tensor is not None or reference not in narrowed)


def external_pipeline(text: str) -> str:
    """The pipeline that an external reference reads from, also when the rest of it is wrong."""
    return text.split(".", 1)[0]


def _direction_and_tensor(parts: list[str], form: str) -> tuple[Direction, str | None]:
    if not parts or parts[0] not in _DIRECTIONS:
        wrong = f"{parts[0]!r} is neither inputs nor outputs" if parts else "inputs or outputs is missing"
        raise BadReferenceError(f"{wrong}: write {form}")
    if len(parts) > 2:
        raise BadReferenceError(f"it has too many parts: write {form}")
    if len(parts) == 2 and not parts[1].strip():
        raise BadReferenceError(f"its tensor has no name: write {form}")
    return ("inputs" if parts[0] == "inputs" else "outputs"), (parts[1] if len(parts) == 2 else None)
