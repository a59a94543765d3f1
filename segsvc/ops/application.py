"""What operators and the kubelet ask: /livez, /readyz and /metrics. Never on the API's port."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from segsvc.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What the ops port tells: each returns the reasons against it, and none means yes.

    alive: whether the process works; a cluster that is away is no reason against it. ready: whether callers should
    be sent here. refresh: brings the metrics that are read off something up to date.
    """

    alive: Callable[[], Sequence[str]]
    ready: Callable[[], Sequence[str]]
    refresh: Callable[[], None]


def create_ops_application(probes: Probes, metrics: Metrics) -> web.Application:
    """Build the application of the ops port."""

    async def livez(_: web.Request) -> web.Response:
        return _answer(probes.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(probes.ready())

    async def show_metrics(request: web.Request) -> web.Response:
        probes.refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", show_metrics)
    return application


def _answer(reasons: Sequence[str]) -> web.Response:
    if reasons:
        return web.Response(status=503, text="".join(f"{reason}\n" for reason in reasons))
    return web.Response(text="ok\n")
