"""Environments hold what their lock says, are made once, and a failure says what to do. Real pip, without an index."""

import hashlib
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.process import install
from compose.process.home import Home
from compose.process.install import InstallFailed, Layer

TINY = Layer("tiny", "tiny")


def _wheel(folder: Path, version: str) -> str:
    """A package of one module; gives its line for a lock."""
    name, info = f"tiny_thing-{version}-py3-none-any.whl", f"tiny_thing-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("tiny_thing.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-thing\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return f"tiny-thing=={version} --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of locks and wheels that takes the place of the shipped locks and of the package index."""
    folder = tmp_path_factory.mktemp("locks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setattr(install, "_LOCKS", folder)
        yield folder


@pytest.fixture(scope="module")
def home(locks: Path) -> Home:
    """With an environment that holds tiny-thing 1.0."""
    (locks / "tiny.txt").write_text(_wheel(locks, "1.0"))
    home = Home.of({}, root=locks / "home")
    install.install(TINY, home)
    return home


def _installed_version(home: Home) -> str:
    command = [str(home.python("tiny")), "-c", "import tiny_thing; print(tiny_thing.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_follows_its_lock(locks: Path, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert _installed_version(home) == "1.0"
    (home.venvs / "tiny" / "kept").touch()
    install.install(TINY, home)
    assert "up to date" in capsys.readouterr().out
    assert (home.venvs / "tiny" / "kept").exists()

    (locks / "tiny.txt").write_text(_wheel(locks, "2.0"))
    install.install(TINY, home)
    assert _installed_version(home) == "2.0"
    assert not (home.venvs / "tiny" / "kept").exists()


@pytest.mark.parametrize(
    ("requirement", "mend"),
    [("tiny-thing==1.0", "pip cache purge"), ("no-such-thing==1.0", "complete package index")],
)
def test_a_failure_says_how_to_mend_it(locks: Path, home: Home, requirement: str, mend: str) -> None:
    (locks / "tiny.txt").write_text(f"{requirement} --hash=sha256:{'0' * 64}\n")
    with pytest.raises(InstallFailed, match=mend):
        install.install(Layer("tiny", "tiny", base=False), home)


def test_another_python_or_system_is_refused() -> None:
    install.check_machine((3, 11, 9), "linux")
    with pytest.raises(InstallFailed, match=r"make PYTHON=/path/to/python3\.11"):
        install.check_machine((3, 13, 0), "linux")
    with pytest.raises(InstallFailed, match="darwin"):
        install.check_machine((3, 11, 9), "darwin")


def test_unknown_targets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main(["everything"]) == 2
    assert "main,dev,mlserver,triton,kafka" in capsys.readouterr().err
