"""Settings: the only reader of the environment.

Every setting is checked before anything starts; what is wrong ends the process with one line that names it.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from segsvc.telemetry import LOG_FORMATS, LOG_LEVELS

_Value = TypeVar("_Value")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_HOST_NAME = re.compile(r"(?=.{1,253}$)\w([-\w]{0,61}\w)?(\.\w([-\w]{0,61}\w)?)*", re.ASCII)
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


class SettingError(Exception):
    """A setting is missing or wrong; the text names it and says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name} {reason}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the process is told; README.md explains each."""

    oidc_issuer: str
    host: str = "0.0.0.0"  # noqa: S104 (a service in a pod listens to all of the pod)
    port: int = 8080
    ops_port: int = 8081
    kubeconfig: str | None = None
    namespace: str | None = None
    oidc_jwks_url: str | None = None
    oidc_audience: str | None = None
    oidc_client: str = "segment-management-api"
    trusted_hosts: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset()
    max_pagesize: int = 1000
    max_connections: int = 12_000
    log_level: str = "info"
    log_format: str = "json"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings. A variable that is empty counts as not set. Raises SettingError for the first bad one."""

        def read(name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
            return _read(environment, name, parse, default)

        issuer = read("SEGSVC_OIDC_ISSUER", _url, None)
        if issuer is None:
            raise SettingError("SEGSVC_OIDC_ISSUER", "is required: the URL of the issuer of the callers' tokens")
        port, ops_port = read("SEGSVC_PORT", port_number, cls.port), read("SEGSVC_OPS_PORT", port_number, cls.ops_port)
        if port == ops_port != 0:
            raise SettingError("SEGSVC_OPS_PORT", f"is {ops_port} but so is SEGSVC_PORT: they must differ")
        return cls(
            oidc_issuer=issuer,
            host=read("SEGSVC_HOST", host_name, cls.host),
            port=port,
            ops_port=ops_port,
            kubeconfig=read("KUBECONFIG", str, None),
            namespace=read("SEGSVC_NAMESPACE", _namespace, None),
            oidc_jwks_url=read("SEGSVC_OIDC_JWKS_URL", _url, None),
            oidc_audience=read("SEGSVC_OIDC_AUDIENCE", str, None),
            oidc_client=read("SEGSVC_OIDC_CLIENT", str, cls.oidc_client),
            trusted_hosts=read("SEGSVC_TRUSTED_HOSTS", _hosts, cls.trusted_hosts),
            cors_origins=read("SEGSVC_CORS_ORIGINS", _origins, cls.cors_origins),
            max_pagesize=read("SEGSVC_MAX_PAGESIZE", _positive, cls.max_pagesize),
            max_connections=read("SEGSVC_MAX_CONNECTIONS", _positive, cls.max_connections),
            log_level=log_level(environment, cls.log_level),
            log_format=read("SEGSVC_LOG_FORMAT", _one_of(LOG_FORMATS), cls.log_format),
        )


def log_level(environment: Mapping[str, str], default: str) -> str:
    """Read the one setting that ``segsvc dev`` has too. Raises SettingError."""
    return _read(environment, "SEGSVC_LOG_LEVEL", _one_of(LOG_LEVELS), default)


def _read(environment: Mapping[str, str], name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise SettingError(name, f"is {text!r} but {error}") from None


# --- what a text must be; all of these raise ValueError with a reason that reads on from "is 'x' but"


def whole_number(text: str) -> int:
    """Parse a number from 0, of ASCII digits alone."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("must be a whole number from 0")
    return int(text)


def port_number(text: str) -> int:
    """Parse a TCP port's number; 0 stands for any."""
    if text.startswith("tcp://"):
        # a Service named segsvc makes the kubelet set SEGSVC_PORT in every pod beside it
        raise ValueError("must be a port's number (Kubernetes set this: use enableServiceLinks: false)")
    number = whole_number(text)
    if number > 65535:
        raise ValueError("must be a port's number, at most 65535")
    return number


def host_name(text: str) -> str:
    """Parse an address or a name to listen at; whether it is one of ours shows when it is used."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if _HOST_NAME.fullmatch(text) is None:
            raise ValueError("must be an IP address or a host's name") from None
    return text


def _positive(text: str) -> int:
    number = whole_number(text)
    if not number:
        raise ValueError("must be at least 1")
    return number


def _namespace(text: str) -> str:
    if _DNS_LABEL.fullmatch(text) is None:
        raise ValueError("must be a namespace's name: lower case letters, digits and '-', at most 63")
    return text


def _url(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.query or parts.fragment:
        raise ValueError("must be an http or https URL without query")
    return text


def _split(text: str) -> SplitResult | None:
    """Take an http or https URL apart; None for what is none."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0  # 99999 raises
    except ValueError:
        return None
    # urlsplit drops line breaks and tabs, and takes a space for a letter
    return parts if usable and text.isprintable() and " " not in text else None


def _list(text: str) -> list[str]:
    return [member.strip() for member in text.split(",") if member.strip()]


def _hosts(text: str) -> frozenset[str]:
    hosts = _list(text)
    for host in hosts:
        if _HOST_AND_PORT.fullmatch(host) is None:
            raise ValueError(f"'{host}' is no host name: give names, with a port where it matters, separated by commas")
    return frozenset(host.lower() for host in hosts)


def _origins(text: str) -> frozenset[str]:
    origins = _list(text)
    for origin in origins:
        parts = _split(origin)
        if origin != "*" and (parts is None or origin != f"{parts.scheme}://{parts.netloc}"):
            raise ValueError(f"'{origin}' is no origin: give '*' or origins like https://dash.example.com")
    return frozenset(origins)


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError("must be one of " + ", ".join(choices))
        return text.lower()

    return parse
