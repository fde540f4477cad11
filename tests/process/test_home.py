"""Where a deployment keeps its files."""

from pathlib import Path

from compose.process.home import REPOSITORY, Home


def test_everything_is_below_one_folder() -> None:
    home = Home.of({})
    assert home.root == REPOSITORY / ".seldon"
    below = (home.venvs, home.samples, home.logs, home.run, home.data, home.agent("triton"), home.supervisor_socket)
    assert all(path.is_relative_to(home.root) for path in below)


def test_another_home_may_lend_its_environments_and_samples(tmp_path: Path) -> None:
    environment = {"SELDON_HOME": "/ignored", "SELDON_VENVS": "/ignored", "SELDON_SAMPLES": "/ignored"}
    home = Home.of(environment, root=tmp_path / "test", installed_in=tmp_path / "real")
    assert (home.root, home.venvs, home.samples) == (
        tmp_path / "test",
        tmp_path / "real" / "venvs",
        tmp_path / "real" / "samples",
    )


def test_a_socket_path_that_is_too_long_moves_to_a_short_one(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    socket = Home.of({}, root=long).supervisor_socket
    assert len(str(socket)) < 100
    assert socket == Home.of({}, root=long).supervisor_socket
    assert socket != Home.of({}, root=long / "y").supervisor_socket
