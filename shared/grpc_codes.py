"""gRPC's status codes by the names under which they are counted and shown, which are those that Envoy writes."""


def camel_case(name: str) -> str:
    """`NOT_FOUND` as `NotFound`, `OK` as it is."""
    if name == "OK":
        return name
    return "Canceled" if name == "CANCELLED" else name.title().replace("_", "")
