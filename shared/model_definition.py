"""What scheduler and agents have to say alike of a model's definition."""

from mlops.scheduler import scheduler_pb2 as pb


def what_is_loaded(model: pb.Model) -> pb.ModelSpec:
    """The part that says what is loaded and how. Runtime info is an observation, not a wish, and is left out."""
    spec = pb.ModelSpec()
    spec.CopyFrom(model.modelSpec)
    spec.ClearField("modelRuntimeInfo")
    return spec


def loads_the_same(one: pb.Model, other: pb.Model) -> bool:
    """Whether a server that has loaded one need do nothing for the other."""
    return what_is_loaded(one) == what_is_loaded(other)


def copies(runtime: pb.ModelRuntimeInfo | None) -> int:
    """Copies that a server makes of the model in its own memory; 1 until an agent has told."""
    if runtime is None:
        return 1
    if runtime.WhichOneof("modelRuntimeInfo") == "triton":
        cpu = runtime.triton.cpu
        return max(1, cpu[0].instanceCount) if cpu else 1
    return max(1, runtime.mlserver.parallelWorkers)


def required_bytes(spec: pb.ModelSpec, runtime: pb.ModelRuntimeInfo | None) -> int:
    """Memory of the model on one replica: its declared size times the copies that the server makes of it."""
    return spec.memoryBytes * copies(runtime)
