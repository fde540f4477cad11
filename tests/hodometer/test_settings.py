"""The collector's variables: defaults, and one problem for each that is wrong."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.hodometer.__main__ import load
from services.hodometer.core.fields import Level
from services.hodometer.core.tls_settings import Tls
from services.hodometer.core.variables import InvalidSettings
from services.hodometer.settings import HodometerSettings, settings_of

PORTS = {"SCHEDULER_PLAINTXT_PORT": "9004", "SCHEDULER_TLS_PORT": "9044"}
CERTIFICATES = {
    "CONTROL_PLANE_SECURITY_PROTOCOL": "SSL",
    "CONTROL_PLANE_CLIENT_TLS_KEY_LOCATION": "/tls/tls.key",
    "CONTROL_PLANE_CLIENT_TLS_CRT_LOCATION": "/tls/tls.crt",
    "CONTROL_PLANE_CLIENT_TLS_CA_LOCATION": "/tls/ca.crt",
}
ID = "7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11"


def problems(**variables: str) -> dict[str, tuple[str, str]]:
    """Of these variables beside the ports: setting to message and fix."""
    with pytest.raises(InvalidSettings) as caught:
        settings_of({**PORTS, **variables})
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return {problem.setting: (problem.message, problem.fix) for problem in caught.value.problems}


def test_defaults_publish_nowhere() -> None:
    assert settings_of(PORTS) == HodometerSettings(
        scheduler_host="seldon-scheduler",
        plaintext_port=9004,
        tls_port=9044,
        tls=None,
        level=Level.FEATURE,
        log_level="info",
        cluster_id=None,
        git_commit="",
        destinations=(),
        interval_seconds=8 * 60 * 60,
    )


def test_blank_is_not_set() -> None:
    names = ("SCHEDULER_HOST", "METRICS_LEVEL", "LOG_LEVEL", "CLUSTER_ID", "PUBLISH_URL", "EXTRA_PUBLISH_URLS")
    assert settings_of({**PORTS, **dict.fromkeys(names, " ")}) == settings_of(PORTS)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        settings_of(
            {
                "METRICS_LEVEL": "everything",
                "LOG_LEVEL": "loud",
                "PUBLISH_URL": "receiver:8001",
                "EXTRA_PUBLISH_URLS": "http://ok, ftp://no",
                "PUBLISH_INTERVAL_SECONDS": "8h",
                "CONTROL_PLANE_SECURITY_PROTOCOL": "TLS",
            }
        )
    told = [(problem.setting, problem.message) for problem in caught.value.problems]
    assert told == [
        ("SCHEDULER_PLAINTXT_PORT", "value not set"),
        ("SCHEDULER_TLS_PORT", "value not set"),
        ("CONTROL_PLANE_SECURITY_PROTOCOL", "protocol TLS not recognised"),
        ("METRICS_LEVEL", "level everything not recognised"),
        ("LOG_LEVEL", "log level loud not recognised"),
        ("PUBLISH_URL", "'receiver:8001' is no URL of a receiver"),
        ("EXTRA_PUBLISH_URLS", "'ftp://no' is no URL of a receiver"),
        ("PUBLISH_INTERVAL_SECONDS", "'8h' is not a number it can be"),
    ]
    assert all(problem.fix for problem in caught.value.problems)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "9004.0", "９００４", "tcp://10.0.0.1:9004", "9" * 5000])
def test_a_port_is_a_number_from_1_to_65535(value: str) -> None:
    assert problems(SCHEDULER_PLAINTXT_PORT=value) == {
        "SCHEDULER_PLAINTXT_PORT": (f"{value!r} is not a number it can be", "write a whole number from 1 to 65535")
    }


def test_the_older_name_of_the_port_is_a_fallback() -> None:
    without = {"SCHEDULER_TLS_PORT": "9044"}
    assert settings_of({**without, "SCHEDULER_PORT": "9"}).plaintext_port == 9
    assert settings_of({**PORTS, "SCHEDULER_PORT": "9"}).plaintext_port == 9004
    with pytest.raises(InvalidSettings, match="SCHEDULER_PORT: 'x' is not"):
        settings_of({**without, "SCHEDULER_PORT": "x"})
    with pytest.raises(InvalidSettings, match="SCHEDULER_PLAINTXT_PORT: value not set"):
        settings_of({**without, "SCHEDULER_PORT": "tcp://10.0.0.1:9004"})


@pytest.mark.parametrize("level", Level)
def test_levels_in_any_case(level: Level) -> None:
    for text in (level.name, level.name.lower(), level.name.capitalize()):
        assert settings_of({**PORTS, "METRICS_LEVEL": text}).level is level


@pytest.mark.parametrize(("written", "meant"), [("WARN", "warning"), ("Debug", "debug"), ("fatal", "critical")])
def test_log_levels_under_every_usual_name(written: str, meant: str) -> None:
    assert settings_of({**PORTS, "LOG_LEVEL": written}).log_level == meant


def test_a_cluster_id_is_a_uuid_or_none_at_all() -> None:
    assert settings_of({**PORTS, "CLUSTER_ID": f" {ID.upper()} "}).cluster_id == UUID(ID)
    for text in ("my-cluster", ID[:-1], "0"):
        assert settings_of({**PORTS, "CLUSTER_ID": text}).cluster_id is None


def test_receivers_are_trimmed_and_each_is_there_once() -> None:
    urls = " http://b:1 ,, stdout:,http://a/ ,http://b:1,"
    made = settings_of({**PORTS, "PUBLISH_URL": " http://a/ ", "EXTRA_PUBLISH_URLS": urls})
    assert made.destinations == ("http://a/", "http://b:1", "stdout:")


@pytest.mark.parametrize(
    "url", ["http://", "https://:80", "http://a:port", "http://[::1", "stdout", "file:///a", "//a"]
)
def test_what_is_no_receiver(url: str) -> None:
    assert "PUBLISH_URL" in problems(PUBLISH_URL=url)


def test_the_target_depends_on_encryption() -> None:
    assert settings_of({**PORTS, "SCHEDULER_HOST": "::1"}).scheduler_target == "[::1]:9004"
    assert settings_of({**PORTS, **CERTIFICATES}).scheduler_target == "seldon-scheduler:9044"


def test_certificates() -> None:
    own = settings_of({**PORTS, **CERTIFICATES, "CONTROL_PLANE_SECURITY_PROTOCOL": "ssl"}).tls
    assert own == Tls(Path("/tls/tls.key"), Path("/tls/tls.crt"), Path("/tls/ca.crt"))
    peer = settings_of({**PORTS, **CERTIFICATES, "CONTROL_PLANE_SERVER_TLS_CA_LOCATION": "/peer/ca.crt"}).tls
    assert peer == Tls(Path("/tls/tls.key"), Path("/tls/tls.crt"), Path("/peer/ca.crt"))
    assert settings_of({**PORTS, **CERTIFICATES, "CONTROL_PLANE_SECURITY_PROTOCOL": "PLAINTEXT"}).tls is None
    assert set(problems(CONTROL_PLANE_SECURITY_PROTOCOL="SSL")) == set(CERTIFICATES) - {
        "CONTROL_PLANE_SECURITY_PROTOCOL"
    }


def test_a_certificate_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(InvalidSettings, match=r"/tls/ca\.crt.*check the CONTROL_PLANE"):
        load({**PORTS, **CERTIFICATES})


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*PORTS, *CERTIFICATES, "METRICS_LEVEL", "CLUSTER_ID", "PUBLISH_URL", "EXTRA_PUBLISH_URLS"]),
        st.text(),
    )
)
def test_no_text_breaks_the_reading(variables: dict[str, str]) -> None:
    told = None
    try:
        assert settings_of(variables).plaintext_port in range(1, 65_536)
    except InvalidSettings as error:
        told = error.problems
    assert told is None or (told and all(problem.setting and problem.fix for problem in told))
