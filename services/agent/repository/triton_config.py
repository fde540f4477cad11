"""Triton's `config.pbtxt`: another name for the model, and how many copies of it the server will hold."""

from services.agent.repository.text_proto import Field, parse, unquote
from shared.errors import InvalidInput

_TWO_BY_DEFAULT = ("tensorflow", "onnxruntime")


def with_name(config: str, internal: str) -> str:
    """The same text with its own `name` set to `internal`; all other characters stay. Raises InvalidInput."""
    names = [field for field in _parse(config) if field.name == "name"]
    if not names:
        return f'name: "{internal}"\n{config}'
    if len(names) > 1 or not isinstance(names[0].value, str):
        raise InvalidInput("config.pbtxt must have one text as its name")
    return f'{config[: names[0].start]}"{internal}"{config[names[0].end :]}'


def cpu_instances(config: str) -> int:
    """Copies of the model in main memory: the first CPU instance group's count, or the backend's own default.

    Raises InvalidInput when the text cannot be read.
    """
    fields = _parse(config)
    for group in fields:
        if group.name == "instance_group" and _scalar(group, "kind") == "KIND_CPU":
            count = _scalar(group, "count")
            if count.isascii() and count.isdecimal() and int(count) > 0:
                return int(count)
            backends = (unquote(str(field.value)) for field in fields if field.name in ("backend", "platform"))
            return 2 if any(backend.startswith(_TWO_BY_DEFAULT) for backend in backends) else 1
    return 1


def _scalar(message: Field, name: str) -> str:
    if isinstance(message.value, str):
        return ""
    return next((field.value for field in message.value if field.name == name and isinstance(field.value, str)), "")


def _parse(config: str) -> tuple[Field, ...]:
    try:
        return parse(config)
    except InvalidInput as error:
        raise InvalidInput(f"config.pbtxt is {error}") from None
