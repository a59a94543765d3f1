"""The API's application without what would answer for segments: enough to ask for its routes and its description."""

from typing import Any

from aiohttp import web

from segsvc.index.store import SegmentStore
from segsvc.service import SegmentService
from segsvc.telemetry import Metrics
from segsvc.web.api import Api
from segsvc.web.application import create_application


class Fresh:
    """Knows no cluster, and so nothing of its own age."""

    def age(self) -> float:
        return 0


def bare_application() -> web.Application:
    absent: Any = None
    service = SegmentService(SegmentStore(), absent, metrics=Metrics(), now=absent, draw=absent)
    return create_application(Api(service=service, verifier=absent, reflection=Fresh(), metrics=Metrics()))
