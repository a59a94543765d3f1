"""What the answers of a soak are held against: every state in which a segment stood, by a watch past the service."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from tests.api.clusters import API_VERSION, revision_of
from tests.api.waiting import until
from tests.chaos.shown import content, document

if TYPE_CHECKING:
    from tests.api.client import Answer
    from tests.api.clusters import Cluster, Resources

LAST = "the-last-of-all"
LONGEST_EVENT = 2**21


class Record:
    """Which states there were, and which were claimed. Of each content a hash is kept, for there are many."""

    def __init__(self, cluster: Cluster, namespace: str, resources: Resources) -> None:
        self._cluster = cluster
        self._url = f"{cluster.url}/apis/{API_VERSION}/namespaces/{namespace}/segments"
        self._resources = resources
        self.reached = 0
        """The newest revision that is taken down."""
        self._stood: dict[tuple[str, int], int] = {}
        self._ends: defaultdict[str, list[int]] = defaultdict(list)
        self._stored: Counter[tuple[str, int, int]] = Counter()
        self._deleted: list[tuple[str, int, int | None]] = []
        self._shown: set[tuple[str, int]] = set()

    # --- claims

    def stored(self, answer: Answer) -> None:
        """Take down a 2xx to a write."""
        segment = content(answer.json)
        self._stored[segment["id"], answer.revision, _hash(segment)] += 1

    def deleted(self, segment_id: str, answer: Answer, *, since: int) -> None:
        """Take down a 2xx to a delete; ``since``: what had been reached before it was asked for."""
        told = answer.headers.get("X-Revision")
        self._deleted.append((segment_id, since, None if told is None else int(told)))

    def shown(self, segment: dict[str, Any]) -> None:
        """Take down what a read showed."""
        self._shown.add((segment["id"], _hash(content(segment))))

    # --- what is true

    async def begin(self) -> None:
        """Take down all that there is."""
        self.reached = await self._resources.revision()
        for resource in await self._resources.all():
            self._note(resource)

    async def follow(self) -> None:
        """Take down all that comes, until cancelled."""
        async with aiohttp.ClientSession(
            connector=self._cluster.connector(),
            headers=self._cluster.headers,
            read_bufsize=LONGEST_EVENT,
            timeout=aiohttp.ClientTimeout(),
        ) as session:
            while True:  # a watch ends in its time
                parameters = {"watch": "true", "resourceVersion": str(self.reached)}
                async with session.get(self._url, params=parameters) as response:
                    async for line in response.content:
                        event = orjson.loads(line)
                        assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
                        resource = event["object"]
                        self.reached = revision_of(resource)
                        if event["type"] == "DELETED":
                            self._ends[resource["metadata"]["name"]].append(self.reached)
                        else:
                            self._note(resource)

    async def complete(self) -> None:
        """Return when all that has happened is taken down."""
        last = await self._resources.create(LAST)

        async def is_there() -> bool:
            return (LAST, revision_of(last)) in self._stood

        await until(is_there)

    def _note(self, resource: dict[str, Any]) -> None:
        self._stood[resource["metadata"]["name"], revision_of(resource)] = _hash(document(resource))

    # --- the verdict

    def untrue(self) -> list[str]:
        """Say which claims were not true."""
        contents = {(segment_id, stood) for (segment_id, _), stood in self._stood.items()}
        wrong = []
        for (segment_id, revision, claimed), times in self._stored.items():
            if self._stood.get((segment_id, revision)) != claimed:
                wrong.append(f"{segment_id} is said to have been stored at {revision} as it never stood there")
            elif times > 1:
                wrong.append(f"{times} writes claim {segment_id} at {revision}")
        wrong += [f"{segment_id} was shown as it never stood" for segment_id, _ in self._shown - contents]
        for segment_id, since, told in self._deleted:
            # two who asked at the same time may both be told of one end: whose it was cannot be known of a lost answer
            if not any(since < end <= (told or end) for end in self._ends[segment_id]):
                wrong.append(f"{segment_id} is said to be gone at {told}, and had no end since {since}")
        return wrong

    def __str__(self) -> str:
        stores, deletes = self._stored.total(), len(self._deleted)
        return f"{stores} writes and {deletes} deletes, {len(self._shown)} contents shown, of {len(self._stood)} states"


def _hash(segment: dict[str, Any]) -> int:
    return hash(orjson.dumps(segment, option=orjson.OPT_SORT_KEYS))
