"""The API's aiohttp application: its routes and what surrounds them."""

from aiohttp import web

from segsvc.web.api import Api
from segsvc.web.askers import Askers
from segsvc.web.body import heed_expectation
from segsvc.web.bounds import Keeper
from segsvc.web.cors import Cors
from segsvc.web.handlers import Handlers
from segsvc.web.links import Addresses
from segsvc.web.prepared import Common
from segsvc.web.reads import Reads
from segsvc.web.representation import VARY
from segsvc.web.server import AT_ONCE, FIELD_READER, KEEPER
from segsvc.web.surroundings import ITEM, LIST, Surroundings

MAX_HEADER = 64 * 1024
"""How many bytes a request's header field may have: tokens with many roles are long."""


def create_application(api: Api) -> web.Application:
    """Build the application; it starts and ends nothing, its collaborators are up and running."""
    cors = Cors(api.cors_origins)
    surroundings = Surroundings(api.metrics, cors)
    common = Common({"Cache-Control": "private, no-cache", "Vary": f"{VARY}, Origin" if cors.varies else VARY})
    addresses = Addresses(api.trusted_hosts)
    reads = Reads(api, addresses, surroundings, common)
    handlers = Handlers(api, reads)
    application = web.Application(middlewares=[surroundings.middleware()])
    application[FIELD_READER] = Askers(api.verifier, addresses, cors)
    application[AT_ONCE] = reads.at_once
    application[KEEPER] = lambda loop: Keeper(
        api.bounds, loop, lambda reason: api.metrics.connections_dropped.labels(reason).inc()
    )
    application.on_cleanup.append(reads.close)
    segments = application.router.add_resource(LIST)
    segment = application.router.add_resource(ITEM)
    for resource, reader in ((segments, reads.list), (segment, reads.read)):
        resource.add_route("GET", reader, expect_handler=heed_expectation)
        resource.add_route("HEAD", reader, expect_handler=heed_expectation)
        resource.add_route("POST", handlers.create, expect_handler=heed_expectation)
    segment.add_route("PUT", handlers.replace, expect_handler=heed_expectation)
    segment.add_route("DELETE", handlers.delete, expect_handler=heed_expectation)
    application.router.add_get("/openapi.json", handlers.describe, expect_handler=heed_expectation)
    return application
