"""Makes the Python code of every .proto file here: `python protos/generate.py` brings protos/gen up to date.

The run is skipped when neither the sources nor the tools have changed since the last one.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
OUTPUT = SOURCES / "gen"
TOOLS = ("grpcio-tools", "mypy-protobuf", "googleapis-common-protos")
STAMP = ".stamp"
TEMPORARY = ".gen-"


def main() -> int:
    with _one_run_at_a_time():
        sources = sorted(path for path in SOURCES.rglob("*.proto") if OUTPUT not in path.parents)
        digest, tools = _digest([*sources, Path(__file__).resolve()]), _tool_versions()
        if _is_current(digest, tools):
            print(f"protos: {OUTPUT} is up to date")
            return 0
        if not tools:
            print(f"protos: install {', '.join(TOOLS)} to generate {OUTPUT}", file=sys.stderr)
            return 1
        for leftover in SOURCES.glob(f"{TEMPORARY}*"):
            # Of a run that was killed: while we hold the lock nobody else is at work.
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=SOURCES) as folder:
            made = Path(folder, "new")
            made.mkdir()
            if problem := _generate(sources, made):
                print(f"protos: nothing changed, {problem}", file=sys.stderr)
                return 1
            (made / STAMP).write_text(f"{digest}\n{tools}\n")
            _swap(made, retired=Path(folder, "old"))
        print(f"protos: generated {len(sources)} files into {OUTPUT}")
        return 0


@contextmanager
def _one_run_at_a_time() -> Iterator[None]:
    handle = os.open(SOURCES, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _digest(files: list[Path]) -> str:
    """Hash of names and contents; a renamed file counts as a change."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(SOURCES)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _tool_versions() -> str:
    """The generators' versions, or an empty string where one of them is not installed."""
    try:
        return " ".join(f"{tool}={version(tool)}" for tool in TOOLS)
    except PackageNotFoundError:
        return ""


def _is_current(digest: str, tools: str) -> bool:
    """An installation without the tools runs on what was made elsewhere, as long as the sources are the same."""
    try:
        made_from, made_by = (OUTPUT / STAMP).read_text().splitlines()
    except (OSError, ValueError):
        return False
    return made_from == digest and tools in ("", made_by)


def _generate(sources: list[Path], target: Path) -> str:
    """Code, stubs and packages for `sources` in `target`; returns what went wrong, or an empty string."""
    from grpc_tools import protoc

    scripts = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{SOURCES}",
        *(f"-I{root}" for root in _library_roots()),
        *(f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        *(f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
        "--mypy_opt=quiet",
        "--mypy_grpc_opt=quiet",
        *(str(path.relative_to(SOURCES)) for path in sources),
    ]
    code = protoc.main(arguments)
    if code != 0:
        return f"protoc ended with {code}"
    for folder in {parent for path in sources for parent in path.relative_to(SOURCES).parents} - {Path()}:
        (target / folder / "__init__.py").touch()
    return ""


def _library_roots() -> list[Path]:
    """Where `import "google/..."` is found: the compiler's well-known types and the common API types."""
    well_known = Path(_location("grpc_tools"), "_proto")
    common = Path(_location("google.rpc")).parents[1]
    return [well_known, common]


def _location(package: str) -> str:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package}")
    return found.submodule_search_locations[0]


def _swap(made: Path, retired: Path) -> None:
    """Put `made` in the place of the present output, which moves to `retired`."""
    if OUTPUT.exists():
        OUTPUT.rename(retired)
    made.rename(OUTPUT)


if __name__ == "__main__":
    sys.exit(main())
