"""Short ways to write the values that tests of the scheduler's cores need."""

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.state import Address, Replica


def model(
    name: str,
    uri: str = "a",
    *,
    replicas: int = 1,
    min_replicas: int = 0,
    memory: int = 100,
    requirements: tuple[str, ...] = ("sklearn",),
    server: str | None = None,
) -> pb.Model:
    """A definition. Memory in bytes; a different `uri` makes a new version."""
    spec = pb.ModelSpec(uri=uri, requirements=requirements, memoryBytes=memory, server=server)
    deployment = pb.DeploymentSpec(replicas=replicas, minReplicas=min_replicas)
    return pb.Model(meta=pb.MetaData(name=name), modelSpec=spec, deploymentSpec=deployment)


def replica(
    session: int, *, total: int = 1000, available: int | None = None, index: int = 0, server_type: str = "mlserver"
) -> Replica:
    """A registered server replica. Memory in bytes; addresses differ by `index`."""
    return Replica(
        agent=Address("127.0.0.1", 9100 + index, 9200 + index),
        inference=Address("127.0.0.1", 9300 + index, 9400 + index),
        server_type=server_type,
        capabilities=frozenset({"sklearn"}),
        total_bytes=total,
        available_bytes=total if available is None else available,
        overcommit_percentage=0,
        session=session,
    )


def pipeline(name: str, *steps: str, clean: bool = False, generation: int = 0) -> pb.Pipeline:
    """A chain of steps, each reading the one before."""
    made = pb.Pipeline(name=name, output=pb.PipelineOutput(steps=steps[-1:]))
    for before, step in zip(("", *steps), steps, strict=False):
        made.steps.add(name=step, inputs=[before] if before else [])
    made.dataflowSpec.cleanTopicsOnDelete = clean
    made.kubernetesMeta.generation = generation
    return made
