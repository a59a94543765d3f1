"""The API's application without what would answer for segments: enough to ask for its routes and its description."""

from typing import Any

from aiohttp import web

from segsvc.telemetry import Metrics
from segsvc.web.application import create_application
from segsvc.web.handlers import Api


def bare_application() -> web.Application:
    absent: Any = None
    return create_application(Api(service=absent, verifier=absent, reflection=absent, metrics=Metrics()))
