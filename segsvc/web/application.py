"""The API's aiohttp application: its routes and what surrounds them."""

from aiohttp import web

from segsvc.web.handlers import Api, Handlers
from segsvc.web.middleware import answering, cors, observing

EXPOSED_HEADERS = (
    "Allow, ETag, Link, Location, Retry-After, WWW-Authenticate, X-Index-Age, X-Revision, X-Total-Count, X-Trace-Id"
)
"""What a browser's script may read beside the body."""

MAX_HEADER = 64 * 1024
"""How many bytes a request's header field may have: tokens with many roles are long."""


def create_application(api: Api) -> web.Application:
    """Build the application; it starts and ends nothing, its collaborators are up and running."""
    middlewares = [observing(api.metrics), answering]
    if api.cors_origins:
        middlewares.insert(1, cors(api.cors_origins, EXPOSED_HEADERS))  # around errors too: scripts must see them
    application = web.Application(middlewares=middlewares)
    handlers = Handlers(api)
    segments = application.router.add_resource("/segments")
    segment = application.router.add_resource("/segments/{id}")
    for resource, reader in ((segments, handlers.list), (segment, handlers.read)):
        resource.add_route("GET", reader)
        resource.add_route("HEAD", reader)
        resource.add_route("POST", handlers.create)
    segment.add_route("PUT", handlers.replace)
    segment.add_route("DELETE", handlers.delete)
    application.router.add_get("/openapi.json", handlers.describe)
    return application
