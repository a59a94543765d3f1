"""segsvc serve and segsvc dev as processes: settings, probes, logs, and the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from segsvc.cli import main
from tests.api.bodies import EDITOR, VIEWER, body, with_env
from tests.api.client import Client
from tests.api.clusters import DISPLAY_NAME, GROUP, Resources, revision_of
from tests.api.process import Running, outcome, running
from tests.api.waiting import until
from tests.support.envtest import unique_namespace
from tests.support.faults import Refused, Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from segsvc.devcluster.issuer import TokenIssuer
    from tests.api.clusters import Cluster
    from tests.support.faults import Call

SECRET = "a-secret-env-value"
NO_PORT = {"SEGSVC_HOST": "127.0.0.1", "SEGSVC_PORT": "0", "SEGSVC_OPS_PORT": "0"}

# what has nothing to do with which cluster it is, for processes take their time to start
ONE_CLUSTER = pytest.mark.parametrize("cluster", ["emulator"], indirect=True, scope="session")


LOOKUPS_HANG = """
import socket, threading
from segsvc import cli

def hang(host, *_, **__):
    print("looking up", host, flush=True)
    threading.Event().wait()

socket.getaddrinfo = hang
cli._loop_factory = lambda: None  # uvloop does not ask Python
cli.process()
"""

IMPORTS_HANG = """
import runpy, sys, threading
from importlib.abc import MetaPathFinder
from importlib.metadata import EntryPoint

class Hang(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "segsvc.cli":
            print("importing", flush=True)
            threading.Event().wait()

sys.meta_path.insert(0, Hang())
script = sys.argv[1]
EntryPoint("segsvc", script, "console_scripts").load()() if script else runpy.run_module("segsvc", run_name="__main__")
"""


class Served:
    """A ``segsvc serve`` and the way to it."""

    def __init__(
        self, process: Running, urls: dict[str, Any], issuer: TokenIssuer, http: aiohttp.ClientSession
    ) -> None:
        self.process = process
        self.url: str = urls["url"]
        self.ops_url: str = urls["ops_url"]
        self.editor = Client(
            http, self.url, issuer.issue(name="Edda", email="edda@example.com", roles=[EDITOR, VIEWER])
        )
        self._http = http

    async def ops(self, path: str) -> tuple[int, str]:
        async with self._http.get(self.ops_url + path) as response:
            return response.status, await response.text()

    async def is_ready(self) -> bool:
        return (await self.ops("/readyz"))[0] == 200


@pytest.fixture
def settings(cluster: Cluster, issuer: TokenIssuer, tmp_path: Path) -> dict[str, str]:
    namespace = unique_namespace("serve")
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig", namespace=namespace)
    return {
        **NO_PORT,
        "KUBECONFIG": str(kubeconfig),
        "SEGSVC_NAMESPACE": namespace,
        "SEGSVC_OIDC_ISSUER": issuer.issuer,
    }


@asynccontextmanager
async def serving(settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession) -> AsyncIterator[Served]:
    async with running("serve", **settings) as process:
        yield Served(process, await process.event("started"), issuer, http)


class TestSettings:
    """A setting that is missing or wrong ends the process with one line that names it."""

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ({}, "SEGSVC_OIDC_ISSUER"),
            ({"SEGSVC_OIDC_ISSUER": ""}, "SEGSVC_OIDC_ISSUER"),
            ({"SEGSVC_OIDC_ISSUER": "keycloak"}, "SEGSVC_OIDC_ISSUER"),
            ({"SEGSVC_PORT": "http"}, "SEGSVC_PORT"),
            ({"SEGSVC_PORT": "70000"}, "SEGSVC_PORT"),
            ({"SEGSVC_PORT": "tcp://10.0.0.1:8080"}, "SEGSVC_PORT"),
            ({"SEGSVC_OPS_PORT": "-1"}, "SEGSVC_OPS_PORT"),
            ({"SEGSVC_MAX_PAGESIZE": "0"}, "SEGSVC_MAX_PAGESIZE"),
            ({"SEGSVC_MAX_PAGESIZE": "many"}, "SEGSVC_MAX_PAGESIZE"),
            ({"SEGSVC_MAX_CONNECTIONS": "0"}, "SEGSVC_MAX_CONNECTIONS"),
            ({"SEGSVC_NAMESPACE": "Not A Namespace"}, "SEGSVC_NAMESPACE"),
            ({"SEGSVC_OIDC_JWKS_URL": "ftp://x"}, "SEGSVC_OIDC_JWKS_URL"),
            ({"SEGSVC_TRUSTED_HOSTS": "https://api.example.com"}, "SEGSVC_TRUSTED_HOSTS"),
            ({"SEGSVC_CORS_ORIGINS": "dash.example.com"}, "SEGSVC_CORS_ORIGINS"),
            ({"SEGSVC_LOG_LEVEL": "loud"}, "SEGSVC_LOG_LEVEL"),
            ({"SEGSVC_LOG_FORMAT": "xml"}, "SEGSVC_LOG_FORMAT"),
        ],
    )
    def test_it_is_exit_2_and_one_line(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        given: dict[str, str],
        name: str,
    ) -> None:
        for variable in [variable for variable in os.environ if variable.startswith("SEGSVC_")]:
            monkeypatch.delenv(variable)
        usable = {"SEGSVC_OIDC_ISSUER": "https://issuer.example.com", **given} if given else {}
        for variable, value in usable.items():
            monkeypatch.setenv(variable, value)
        assert main(["serve"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert name in said.err

    def test_without_a_command_there_is_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 2
        assert "{serve,dev}" in capsys.readouterr().err

    async def test_it_is_so_for_the_process_too(self) -> None:
        code, out, err = await outcome("serve")
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "SEGSVC_OIDC_ISSUER" in err

    async def test_a_kubeconfig_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "no-such-file")
        issuer = "https://issuer.example.com"
        code, _, err = await outcome("serve", SEGSVC_OIDC_ISSUER=issuer, KUBECONFIG=missing, **NO_PORT)
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert "KUBECONFIG" in err
        assert missing in err

    async def test_a_kubeconfig_that_is_broken_is_one_line(self, tmp_path: Path) -> None:
        broken = tmp_path / "kubeconfig"
        broken.write_text("no yaml: [", encoding="utf-8")
        code, _, err = await outcome(
            "serve", SEGSVC_OIDC_ISSUER="https://issuer.example.com", KUBECONFIG=str(broken), **NO_PORT
        )
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert "KUBECONFIG" in err
        assert str(broken) in err

    @ONE_CLUSTER
    @pytest.mark.parametrize("name", ["SEGSVC_PORT", "SEGSVC_OPS_PORT"])
    async def test_a_port_in_use_is_one_clear_line(self, settings: dict[str, str], name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            code, _, err = await outcome("serve", **{**settings, name: port})
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert f"{name} is {port}" in err

    @ONE_CLUSTER
    @pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
    async def test_a_host_that_is_none_of_this_machine_is_one_clear_line(
        self, settings: dict[str, str], host: str
    ) -> None:
        code, _, err = await outcome("serve", **{**settings, "SEGSVC_HOST": host})
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert f"SEGSVC_HOST is '{host}'" in err


class TestServe:
    """A process in front of a cluster."""

    async def test_it_serves_probes_and_metrics_on_the_ops_port_only_and_ends_with_0(
        self, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
    ) -> None:
        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            assert (await served.ops("/livez"))[0] == 200
            status, metrics = await served.ops("/metrics")
            assert status == 200
            assert "segsvc_http_request_duration_seconds" in metrics
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await served.editor.get(path)).status == 404
            assert (await served.ops("/segments"))[0] == 404
            assert (await served.editor.create(body(), "some-segment")).status == 200
            assert (await served.editor.list()).json["totalCount"] == 1
            # an idle connection does not delay the end
            reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
            served.process.tell(signal.SIGTERM)
            async with asyncio.timeout(5):
                assert await served.process.ended() == 0
                assert await reader.read() == b""
            writer.close()
            assert "Traceback" not in "".join(served.process.err)

    @ONE_CLUSTER
    async def test_it_logs_a_line_per_request_and_per_write_without_tokens_and_env_values(
        self, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
    ) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            editor = served.editor
            secret = body(data=with_env(DB_HOST=SECRET), description="a-private-description")
            created = await editor.create(secret, "some-segment", headers=headers)
            await editor.replace("some-segment", secret)
            await editor.delete("some-segment", dryRun="true")
            await editor.delete("some-segment", headers={"If-Match": '"stale"'})
            await editor.read("some-segment")
            await editor.anonymous().list()
            await editor.anonymous().list(headers={"Authorization": "Bearer a-bad-token"})
            served.process.tell(signal.SIGTERM)
            assert await served.process.ended() == 0
            events = served.process.events
        assert all({"event", "level", "timestamp"} <= set(event) for event in events)

        requests = [event for event in events if event["event"] == "request"]
        assert [(event["method"], event["status"]) for event in requests] == [
            ("POST", 200),
            ("PUT", 200),
            ("DELETE", 204),
            ("DELETE", 412),
            ("GET", 200),
            ("GET", 401),
            ("GET", 403),
        ]
        assert requests[0]["trace_id"] == trace
        assert all(re.fullmatch("[0-9a-f]{32}", event["trace_id"]) for event in requests)

        writes = [event for event in events if event["event"] == "segment_write"]
        assert len(writes) == 4
        assert writes[0]["trace_id"] == trace
        assert writes[0]["segment_id"] == "some-segment"
        assert writes[0]["caller"] == "Edda"
        assert writes[0]["resource_version"] == created.revision
        assert [event["verb"] for event in writes] == ["create", "replace", "delete", "delete"]
        assert len({event["outcome"] for event in writes}) == 3

        text = "".join(served.process.err)
        for hidden in (SECRET, "a-private-description", str(editor.token), "a-bad-token", "Bearer"):
            assert hidden not in text

    @pytest.mark.parametrize("started", ["script", "module"])
    async def test_a_stop_while_it_still_imports_ends_it_with_0(self, started: str) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        script = project["scripts"]["segsvc"] if started == "script" else ""
        async with running(script, program=("-c", IMPORTS_HANG)) as process:
            await process.line(lambda line: line == "importing\n")
            process.tell(signal.SIGTERM)
            assert await process.ended() == 0

    @ONE_CLUSTER
    async def test_a_log_that_cannot_be_written_decides_no_answer(
        self, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
    ) -> None:
        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            editor = served.editor
            served.process.stop_reading_its_log()
            assert (await editor.create(body(), "some-segment")).status == 200
            for _ in range(2):  # the first waits for the token's verification, the second is answered at once
                assert (await editor.list()).json["totalCount"] == 1
            assert (await editor.anonymous().list()).status == 401
            _, metrics = await served.ops("/metrics")
            assert re.search(r"^segsvc_log_failures_total [1-9]", metrics, re.MULTILINE)
            served.process.tell(signal.SIGTERM)
            assert await served.process.ended() == 0

    @ONE_CLUSTER
    async def test_the_traceback_of_a_500_holds_neither_token_nor_body(
        self, cluster: Cluster, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession, relay: Relay
    ) -> None:
        async def refuse(call: Call) -> None:
            if call.is_write:
                raise Refused(403)

        relay.before = refuse
        namespace = settings["SEGSVC_NAMESPACE"]
        cluster.write_kubeconfig(Path(settings["KUBECONFIG"]), namespace=namespace, url=relay.url)
        secret = body(data=with_env(DB_HOST=SECRET), description="a-private-description")
        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            assert (await served.editor.create(secret, "some-segment")).status == 500
            served.process.tell(signal.SIGTERM)
            assert await served.process.ended() == 0
        logged = next(event for event in served.process.events if event["event"] == "unexpected_error")
        assert logged["exception"][0]["exc_type"] == "ClusterForbids"
        text = "".join(served.process.err)
        for hidden in (SECRET, "a-private-description", str(served.editor.token)[:40], "Bearer"):
            assert hidden not in text

    @ONE_CLUSTER
    async def test_an_incompatible_resource_is_logged_once_per_version_with_the_reason(
        self,
        cluster: Cluster,
        admin: aiohttp.ClientSession,
        settings: dict[str, str],
        issuer: TokenIssuer,
        http: aiohttp.ClientSession,
    ) -> None:
        resources = Resources(admin, cluster, settings["SEGSVC_NAMESPACE"])
        bad = {DISPLAY_NAME: "x", f"{GROUP}/labels": SECRET}
        versions = [revision_of(await resources.create("bad", annotations=bad))]
        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            versions.append(revision_of(await resources.annotate("bad", description="still bad")))
            assert (await served.editor.read("bad", minRevision=versions[-1])).status == 404
            assert (await served.editor.replace("bad", body())).status == 404
            versions.append(revision_of(await resources.annotate("bad", roles="[")))
            assert (await served.editor.list(minRevision=versions[-1])).json["totalCount"] == 0
            served.process.tell(signal.SIGTERM)
            assert await served.process.ended() == 0
        logged = [event for event in served.process.events if event["event"] == "incompatible_resource"]
        assert [event["resource_version"] for event in logged] == versions
        assert {event["id"] for event in logged} == {"bad"}
        assert all("segment.grnry.io/" in event["reason"] for event in logged)
        assert SECRET not in "".join(served.process.err)

    @ONE_CLUSTER
    async def test_until_the_index_is_filled_it_is_not_ready_and_answers_503(
        self, cluster: Cluster, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession, relay: Relay
    ) -> None:
        filled = asyncio.Event()

        async def hold(_: Call) -> None:
            await filled.wait()

        relay.before = hold
        namespace = settings["SEGSVC_NAMESPACE"]
        cluster.write_kubeconfig(Path(settings["KUBECONFIG"]), namespace=namespace, url=relay.url)
        async with serving(settings, issuer, http) as served:
            status, reason = await served.ops("/readyz")
            assert status == 503
            assert reason
            assert (await served.ops("/livez"))[0] == 200
            for answer in (
                await served.editor.list(),
                await served.editor.read("some-segment"),
                await served.editor.create(body()),
                await served.editor.replace("some-segment", body()),
                await served.editor.delete("some-segment"),
            ):
                assert answer.status == 503
                assert answer.json["type"] == "service_unavailable"
                assert int(answer.headers["Retry-After"]) >= 1
            assert (await served.editor.anonymous().list()).status == 401
            assert relay.writes == []
            filled.set()
            await until(served.is_ready)
            assert (await served.editor.list()).status == 200

    async def test_at_sigterm_a_write_in_flight_finishes_and_nothing_new_is_ready(
        self,
        cluster: Cluster,
        settings: dict[str, str],
        issuer: TokenIssuer,
        http: aiohttp.ClientSession,
        relay: Relay,
    ) -> None:
        namespace = settings["SEGSVC_NAMESPACE"]
        cluster.write_kubeconfig(Path(settings["KUBECONFIG"]), namespace=namespace, url=relay.url)
        arrived, proceed = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> None:
            if call.is_write:
                arrived.set()
                await proceed.wait()

        async with serving(settings, issuer, http) as served:
            await until(served.is_ready)
            relay.before = hold
            writing = asyncio.create_task(served.editor.create(body(), "some-segment"))
            await arrived.wait()
            served.process.tell(signal.SIGTERM)
            await served.process.event("stopping")

            async def not_ready() -> bool:
                return not await served.is_ready()

            await until(not_ready)
            proceed.set()
            answer = await writing
            assert answer.status == 200
            assert await served.process.ended() == 0
        async with aiohttp.ClientSession(connector=cluster.connector()) as admin:
            assert await Resources(admin, cluster, namespace).names() == ["some-segment"]

    @ONE_CLUSTER
    async def test_a_name_that_no_server_looks_up_does_not_hold_up_the_end(self, settings: dict[str, str]) -> None:
        settings["SEGSVC_OIDC_ISSUER"] = "http://issuer.example.com"
        async with running("serve", program=("-c", LOOKUPS_HANG), **settings) as process:
            await process.line(lambda line: line == "looking up issuer.example.com\n")
            process.tell(signal.SIGTERM)
            assert await process.ended() == 0
            assert process.events[-1]["event"] == "stopped"

    @ONE_CLUSTER
    async def test_logs_can_be_for_people(
        self, settings: dict[str, str], issuer: TokenIssuer, http: aiohttp.ClientSession
    ) -> None:
        async with running("serve", **settings, SEGSVC_LOG_FORMAT="console") as process:

            async def started() -> bool:
                return any("started" in line for line in process.err)

            await until(started)
            assert not process.err[0].startswith("{")


class TestDev:
    """segsvc dev needs nothing but the package."""

    ANY_PORT = ("dev", "--port", "0", "--ops-port", "0")

    @staticmethod
    async def greeted(process: Running) -> dict[str, str]:
        """What the greeting says: the URL, both tokens and the first request."""
        await process.line(lambda line: "Ctrl-C" in line)
        text = "".join(process.out)
        url = re.search(r"http://127\.0\.0\.1:\d+(?=/segments)", text)
        editor, viewer = re.search(r"EDITOR_TOKEN=(\S+)", text), re.search(r"VIEWER_TOKEN=(\S+)", text)
        first = re.search(r"^ *curl .*$", text, re.MULTILINE)
        assert url
        assert editor
        assert viewer
        assert first
        return {"url": url[0], "editor": editor[1], "viewer": viewer[1], "first": first[0].strip()}

    async def test_it_prints_a_url_and_tokens_that_work(self, http: aiohttp.ClientSession) -> None:
        async with running(*self.ANY_PORT) as process:
            said = await self.greeted(process)
            editor, viewer = (Client(http, said["url"], said[who]) for who in ("editor", "viewer"))

            async def filled() -> bool:
                return (await viewer.list()).status == 200

            await until(filled)
            assert 0 < (await viewer.list()).json["totalCount"] <= 12
            assert (await editor.create(body(), "some-segment")).status == 200
            assert (await viewer.read("some-segment")).status == 200
            assert (await viewer.create(body())).status == 403
            process.tell(signal.SIGINT)
            assert await process.ended() == 0

    @pytest.mark.skipif(shutil.which("curl") is None, reason="the request to try is one for curl, which is not here")
    async def test_the_first_request_to_try_works_as_it_stands_there(self) -> None:
        async with running(*self.ANY_PORT) as process:
            said = await self.greeted(process)
            shell = await asyncio.create_subprocess_exec(
                "sh", "-c", f"EDITOR_TOKEN={said['editor']}; {said['first']}", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await shell.communicate()
            assert shell.returncode == 0
            assert json.loads(out)["totalCount"] > 0

    async def test_data_survives_a_restart_tokens_included_and_samples_come_once(
        self, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        data = ("--data", str(tmp_path / "cluster.db"), "--segments", "3")
        ids: list[list[str]] = []
        for number in range(2):
            async with running(*self.ANY_PORT, *data) as process:
                said = await self.greeted(process)
                editor = Client(http, said["url"], said["editor"])

                async def filled(client: Client = editor) -> bool:
                    return (await client.list()).status == 200

                await until(filled)
                if number == 0:
                    await editor.create(body("Kept"), "some-segment")
                    await editor.delete((await editor.list()).ids[0])
                    await editor.replace((await editor.list()).ids[0], body("Changed"))
                ids.append((await editor.list()).ids)
                process.tell(signal.SIGTERM)
                assert await process.ended() == 0
        assert len(ids[0]) == 3
        assert ids[0] == ids[1]

    @pytest.mark.parametrize("option", ["--port", "--ops-port", "--cluster-port"])
    async def test_a_port_in_use_is_one_clear_line(self, option: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            code, _, err = await outcome(*self.ANY_PORT, option, port)
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert f"{option} is {port}" in err

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ("--port", "99999"),
            ("--ops-port", "http"),
            ("--cluster-port", "-1"),
            ("--segments", "-5"),
            ("--segments", "few"),
            ("--host", "no such host"),
        ],
    )
    def test_an_option_that_is_wrong_is_named(self, capsys: pytest.CaptureFixture[str], option: str, text: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["dev", f"{option}={text}"])
        assert ended.value.code == 2
        *_, said = capsys.readouterr().err.splitlines()
        assert f"argument {option}: '{text}' must be" in said

    def test_a_log_level_that_is_none_is_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SEGSVC_LOG_LEVEL", "nonsense")
        assert main(["dev"]) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        assert "SEGSVC_LOG_LEVEL" in said

    @pytest.mark.parametrize("host", ["::1", "::"])
    async def test_its_url_has_an_ipv6_address_in_brackets(self, http: aiohttp.ClientSession, host: str) -> None:
        async with running(*self.ANY_PORT, "--host", host, "--segments", "0") as process:
            line = await process.line(lambda line: "/openapi.json" in line)
            found = re.search(r"http://\[::1\]:\d+", line)
            assert found, line
            async with http.get(f"{found[0]}/openapi.json") as response:
                assert response.status == 200

    async def test_a_file_that_is_none_of_ours_is_one_clear_line(self, tmp_path: Path) -> None:
        file = tmp_path / "notes.txt"
        file.write_text("not a database\n" * 100, encoding="utf-8")
        code, _, err = await outcome(*self.ANY_PORT, "--data", str(file))
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert str(file) in err
        assert file.read_text(encoding="utf-8").startswith("not a database")
