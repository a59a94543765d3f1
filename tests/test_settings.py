"""What counts as a setting, and what is said of one that does not."""

from __future__ import annotations

import pytest

from segsvc.settings import SettingError, Settings, log_level

ISSUER = {"SEGSVC_OIDC_ISSUER": "https://issuer.example.com/realms/it"}
HOSTS = ["127.0.0.1", "::", "::1", "fe80::1%eth0", "localhost", "my_pod-0.segsvc.default.svc"]
NO_HOSTS = [
    "no such host",
    "[::1]",
    "a..b",
    "-a",
    "a" * 64,
    "http://localhost",
    "localhost:80",
    "a," * 200,
    "é.example",
]
URLS = ["http://issuer", "https://issuer.example.com:8443/realms/it/", "http://[::1]:80", "https://bücher.example/"]
NO_URLS = [
    "issuer.example.com",
    "ftp://issuer.example.com",
    "https://",
    "https://:443/",
    "http://a:99999",
    "http://a:-1",
    "http://a:0",
    "https://a@b:c/",
    "https://exa mple.com/",
    "https://example.com/a path",
    "https://exa\nmple.com/",
    "https://example.com/\tb",
    "https://example.com/\x00",
    "https://example.com/\u2028b",
    "http://[::1",
    "https://example.com/?query",
    "https://example.com/#fragment",
]


def refusal(**environment: str) -> SettingError:
    with pytest.raises(SettingError) as raised:
        Settings.from_environment({**ISSUER, **environment})
    return raised.value


def test_nothing_but_the_issuer_is_required() -> None:
    assert Settings.from_environment(ISSUER) == Settings(oidc_issuer=ISSUER["SEGSVC_OIDC_ISSUER"])
    assert Settings.from_environment({**ISSUER, "SEGSVC_PORT": " ", "SEGSVC_HOST": ""}).port == 8080


@pytest.mark.parametrize("name", ["SEGSVC_OIDC_ISSUER", "SEGSVC_OIDC_JWKS_URL"])
@pytest.mark.parametrize("text", NO_URLS)
def test_a_url_that_is_none_is_refused_in_one_line_that_names_the_setting(name: str, text: str) -> None:
    error = refusal(**{name: text})

    assert error.name == name
    assert str(error).startswith(f"{name} is ")
    assert str(error).isprintable()


@pytest.mark.parametrize("text", URLS)
def test_a_url_stays_as_it_was_written(text: str) -> None:
    assert Settings.from_environment({"SEGSVC_OIDC_ISSUER": text}).oidc_issuer == text


@pytest.mark.parametrize("text", NO_HOSTS)
def test_a_host_that_cannot_be_one_is_refused(text: str) -> None:
    assert refusal(SEGSVC_HOST=text).name == "SEGSVC_HOST"


@pytest.mark.parametrize("text", HOSTS)
def test_a_host_is_an_address_or_a_name(text: str) -> None:
    assert Settings.from_environment({**ISSUER, "SEGSVC_HOST": text}).host == text


@pytest.mark.parametrize("text", ["70000", "-1", "+1", "1_0", "٣", "http", "1.0", "9" * 20])
def test_a_port_is_a_number_up_to_65535(text: str) -> None:
    assert refusal(SEGSVC_PORT=text).name == "SEGSVC_PORT"
    assert refusal(SEGSVC_OPS_PORT=text).name == "SEGSVC_OPS_PORT"
    assert Settings.from_environment({**ISSUER, "SEGSVC_PORT": "65535"}).port == 65535


def test_both_ports_must_differ_unless_any_will_do() -> None:
    both = refusal(SEGSVC_PORT="9000", SEGSVC_OPS_PORT="9000")
    assert both.name == "SEGSVC_OPS_PORT"
    assert "SEGSVC_PORT" in str(both)
    assert refusal(SEGSVC_OPS_PORT="8080").name == "SEGSVC_OPS_PORT"
    assert refusal(SEGSVC_PORT="8081").name == "SEGSVC_OPS_PORT"
    found = Settings.from_environment({**ISSUER, "SEGSVC_PORT": "0", "SEGSVC_OPS_PORT": "0"})
    assert (found.port, found.ops_port) == (0, 0)


@pytest.mark.parametrize(
    "text",
    ["https://", "https://a:99999", "https://a b", "https://a/", "https://a?b", "a.example", "*,a", "http://[::1"],
)
def test_an_origin_is_scheme_host_and_port(text: str) -> None:
    assert refusal(SEGSVC_CORS_ORIGINS=text).name == "SEGSVC_CORS_ORIGINS"


def test_origins_are_separated_by_commas() -> None:
    found = Settings.from_environment({**ISSUER, "SEGSVC_CORS_ORIGINS": "https://a.example, http://localhost:3000,"})
    assert found.cors_origins == {"https://a.example", "http://localhost:3000"}
    assert Settings.from_environment({**ISSUER, "SEGSVC_CORS_ORIGINS": "*"}).cors_origins == {"*"}


def test_the_log_level_can_be_read_alone() -> None:
    assert log_level({}, "warning") == "warning"
    assert log_level({"SEGSVC_LOG_LEVEL": "DEBUG"}, "warning") == "debug"
    with pytest.raises(SettingError, match="SEGSVC_LOG_LEVEL"):
        log_level({"SEGSVC_LOG_LEVEL": "nonsense"}, "warning")
