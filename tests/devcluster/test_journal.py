"""The embedded cluster on a file: what survives a restart or a crash, and which files are refused."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from segsvc.devcluster import EmbeddedCluster, JournalError
from tests.conformance.client import Api, widget
from tests.conformance.conftest import definition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def _running(data: Path, *, history: int = 100) -> AsyncIterator[tuple[EmbeddedCluster, Api]]:
    async with EmbeddedCluster(data=data, history=history) as cluster, aiohttp.ClientSession() as session:
        cluster.create_crd(definition())
        yield cluster, Api(session, cluster.url, namespace="default")


async def test_objects_and_versions_survive_a_restart(tmp_path: Path) -> None:
    async with _running(tmp_path / "data") as (cluster, api):
        await api.create("a")
        await api.create("gone")
        await api.request("DELETE", f"{api.widgets}/gone")
        await api.patch("a", {"spec": {"size": 2}})
        before, revision = await api.get(api.widgets), cluster.revision
    async with _running(tmp_path / "data") as (cluster, api):
        after = await api.get(api.widgets)
        assert cluster.revision == revision
        assert after.body == before.body
        created = await api.create("b")
        assert int(created["metadata"]["resourceVersion"]) == revision + 1


async def test_a_watch_and_a_paged_list_go_on_after_a_restart(tmp_path: Path) -> None:
    async with _running(tmp_path / "data") as (cluster, api):
        for name in ("a", "b", "c"):
            await api.create(name)
        page, version = await api.get(api.widgets, limit=1), str(cluster.revision)
        await api.patch("b", {"spec": {"size": 2}})
        await api.request("DELETE", f"{api.widgets}/c")
    async with _running(tmp_path / "data") as (_, api):
        async with api.watch(resourceVersion=version) as events:
            seen = [(e["type"], e["object"]["metadata"]["name"]) for e in await events.take(2)]
        assert seen == [("MODIFIED", "b"), ("DELETED", "c")]
        rest = await api.get(api.widgets, **{"continue": page.body["metadata"]["continue"]})
        assert rest.names == ["b", "c"]
        assert rest.body["items"][0]["spec"]["size"] == 1


async def test_history_is_bounded_on_disk_too(tmp_path: Path) -> None:
    async with _running(tmp_path / "data", history=10) as (cluster, api):
        cluster.seed(widget(f"w{index}") for index in range(25))
        await api.patch("w0", {"spec": {"size": 2}})
    with sqlite3.connect(tmp_path / "data") as connection:
        assert connection.execute("SELECT count(*), max(revision) - min(revision) FROM events").fetchone() == (10, 9)
        assert connection.execute("SELECT count(*) FROM objects").fetchone() == (26,)
    connection.close()


async def test_every_answered_write_survives_a_kill(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        from segsvc.devcluster import EmbeddedCluster
        from tests.conformance.client import widget
        from tests.conformance.conftest import definition

        async def main():
            cluster = EmbeddedCluster(data=Path(sys.argv[1]))
            await cluster.start()
            cluster.create_crd(definition())
            for index in range(50):
                cluster.seed([widget(f"w{index:02}")])
            print(cluster.revision, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == -9
    async with _running(tmp_path / "data") as (cluster, api):
        assert cluster.revision == int(output)
        assert (await api.get(api.widgets)).names == [f"w{index:02}" for index in range(50)]


async def test_a_file_serves_one_process_at_a_time(tmp_path: Path) -> None:
    async with _running(tmp_path / "data"):
        with pytest.raises(JournalError, match="data is in use by another process"):
            await EmbeddedCluster(data=tmp_path / "data").start()
    async with _running(tmp_path / "data"):
        pass


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like one " * 50)
    content = path.read_bytes()
    with pytest.raises(JournalError, match=r"notes\.txt is not a database of the embedded cluster"):
        await EmbeddedCluster(data=path).start()
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(JournalError, match=r"other\.db is not a database of the embedded cluster"):
        await EmbeddedCluster(data=path).start()
    assert path.read_bytes() == content


async def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="missing/data"):
        await EmbeddedCluster(data=tmp_path / "missing" / "data").start()
