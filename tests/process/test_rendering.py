"""Configuration files mean to the programs that read them what they should."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from compose.process import parts, rendering, settings
from compose.process.home import Home
from compose.process.program import Program
from shared.errors import InvalidInput

_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def _read(text: str, folder: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Command and environment of each program, as supervisord itself reads them."""
    file = folder / "supervisord.conf"
    file.write_text(text)
    options = ServerOptions()
    options.realize(["--configuration", str(file)])
    processes = [process for group in options.process_group_configs for process in group.process_configs]
    return [(shlex.split(process.command), process.environment) for process in processes]


@hypothesis_settings(deadline=None)
@given(argument=_text, value=_text)
def test_supervisord_reads_back_what_was_written_or_it_is_refused(
    tmp_path_factory: pytest.TempPathFactory, argument: str, value: str
) -> None:
    folder = tmp_path_factory.mktemp("supervisord")
    program = Program("part", ("/bin/echo", argument), folder, "http://x", (), {"NAME": value})
    try:
        text = rendering.supervisord([program], folder / "socket", folder, folder, 1024)
    except InvalidInput:
        return
    assert _read(text, folder) == [(["/bin/echo", argument], {"NAME": value})]


def test_ordinary_values_are_not_refused(tmp_path: Path) -> None:
    program = Program(
        "part", ("/bin/echo", "100%", "a b", "it's"), tmp_path, "http://x", (), {"A": "", "B": "x,y=%(z)s"}
    )
    text = rendering.supervisord([program], tmp_path / "socket", tmp_path, tmp_path, 1024)
    assert _read(text, tmp_path) == [(["/bin/echo", "100%", "a b", "it's"], {"A": "", "B": "x,y=%(z)s"})]


def test_every_part_is_written_with_ports_of_its_own(tmp_path: Path) -> None:
    made = parts.programs(settings.load({"COMPOSE_PROFILES": "usage"}), Home.of({}, root=tmp_path), libpython=None)
    text = rendering.supervisord(made, tmp_path / "socket", tmp_path, tmp_path, 1024)
    assert len(_read(text, tmp_path)) == len(made) == 12
    ports = [port for program in made for port in program.ports]
    assert len(ports) == len(set(ports))


def test_a_changed_envoy_bootstrap_changes_the_program(tmp_path: Path) -> None:
    home = Home.of({}, root=tmp_path)
    home.run.mkdir()

    def envoy_program() -> Program:
        return next(part for part in parts.programs(settings.load(), home, None) if part.name == "envoy")

    parts.envoy_config(home).write_text("one")
    before = envoy_program()
    assert envoy_program() == before
    parts.envoy_config(home).write_text("two")
    assert envoy_program() != before


def test_envoy_template() -> None:
    assert rendering.envoy("port: ${PORT} regex: a$$", {"PORT": "1", "OTHER": "2"}) == "port: 1 regex: a$"


@pytest.mark.parametrize(("template", "named"), [("${NOPE}", "NOPE"), ("a$", "dollar")])
def test_envoy_template_mistakes_are_named(template: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        rendering.envoy(template, {})


def test_agents_get_an_alias_for_each_local_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a 'quoted': folder"
    read = yaml.safe_load(rendering.agent({"samples": folder}))
    first = json.loads(read["rclone"]["config"][0])
    assert first == {"name": "samples", "type": "alias", "parameters": {"remote": str(folder)}}
