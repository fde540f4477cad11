"""How clients prove who they are to Kafka, and it to them, from the documented environment variables."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.errors import InvalidInput
from shared.kafka.tokens import ClientCredentials

_PROTOCOL: Final = "KAFKA_SECURITY_PROTOCOL"
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_SSL")
_MECHANISM: Final = "KAFKA_SASL_MECHANISM"
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_USERNAME: Final = "KAFKA_CLIENT_SASL_USERNAME"
_DEFAULT_USERNAME: Final = "seldon"
_PASSWORD: Final = "KAFKA_CLIENT_SASL_PASSWORD_LOCATION"
_KEY: Final = "KAFKA_CLIENT_TLS_KEY_LOCATION"
_CERTIFICATE: Final = "KAFKA_CLIENT_TLS_CRT_LOCATION"
_AUTHORITIES: Final = ("KAFKA_BROKER_TLS_CA_LOCATION", "KAFKA_CLIENT_TLS_CA_LOCATION")
_HOST_NAME_CHECK: Final = "KAFKA_CLIENT_TLS_ENDPOINT_IDENTIFICATION_ALGORITHM"


def connection_arguments(environment: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of every aiokafka client; none for a connection in the clear.

    Files are read now, so a new certificate needs a new start. Raises InvalidInput naming the variable.
    """
    protocol = _one_of(environment, _PROTOCOL, _PROTOCOLS)
    if protocol == "PLAINTEXT":
        return {}
    arguments = {"security_protocol": protocol, "ssl_context": _tls(environment)}
    return arguments if protocol == "SSL" else {**arguments, **_sasl(environment)}


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    authority = next((name for name in _AUTHORITIES if environment.get(name)), None)
    context = ssl.create_default_context()
    if authority is not None:
        context = _trusting(authority, _file(environment, authority))
    check = environment.get(_HOST_NAME_CHECK, "https")
    if check not in ("https", ""):
        raise InvalidInput.of_field(_HOST_NAME_CHECK, check, "use https, or leave it empty for no check of host names")
    context.check_hostname = check == "https"
    if environment.get(_KEY) or environment.get(_CERTIFICATE):
        key, certificate = _file(environment, _KEY), _file(environment, _CERTIFICATE)
        try:
            context.load_cert_chain(certificate, key)
        except (ssl.SSLError, OSError) as error:
            fix = f"name a PEM certificate and, in {_KEY}, the key that belongs to it ({error})"
            raise InvalidInput.of_field(_CERTIFICATE, str(certificate), fix) from None
    return context


def _trusting(variable: str, file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput.of_field(variable, str(file), f"name a file of PEM certificates ({error})") from None


def _sasl(environment: Mapping[str, str]) -> dict[str, Any]:
    mechanism = _one_of(environment, _MECHANISM, _MECHANISMS)
    if mechanism == "OAUTHBEARER":
        provider = ClientCredentials.from_secret(_PASSWORD, _folder(environment, _PASSWORD))
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": provider}
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": environment.get(_USERNAME) or _DEFAULT_USERNAME,
        "sasl_plain_password": _file(environment, _PASSWORD).read_text().rstrip("\r\n"),
    }


def _one_of(environment: Mapping[str, str], variable: str, options: tuple[str, ...]) -> str:
    value = environment.get(variable) or options[0]
    if value not in options:
        raise InvalidInput.of_field(variable, value, f"use one of {', '.join(options)}")
    return value


def _file(environment: Mapping[str, str], variable: str) -> Path:
    path = Path(environment.get(variable, ""))
    if not path.is_file():
        raise InvalidInput.of_field(variable, environment.get(variable, ""), "name a file that exists")
    return path


def _folder(environment: Mapping[str, str], variable: str) -> Path:
    """Of a secret with one file for each field; the location may also be any of these files."""
    path = Path(environment.get(variable, ""))
    if path.is_file():
        return path.parent
    if not environment.get(variable) or not path.is_dir():
        fix = "for OAUTHBEARER name a folder with the files client_id, client_secret and token_endpoint_url"
        raise InvalidInput.of_field(variable, environment.get(variable, ""), fix)
    return path
