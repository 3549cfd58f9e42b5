"""The app: every route of the one table, behind the gate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware

from execlog.core.settings import Settings
from execlog.kind import Kind
from execlog.ledger import Ledger
from execlog.web.access import Access
from execlog.web.content import Arrivals
from execlog.web.endpoint import Endpoint
from execlog.web.executions import Executions
from execlog.web.feed import Feeds
from execlog.web.guard import Guard
from execlog.web.health import Health
from execlog.web.jobs import job_routes, offers
from execlog.web.manual import manual_routes
from execlog.web.metrics import Metrics
from execlog.web.pages import Pages
from execlog.web.requests import Requests
from execlog.web.routes import general_routes, system_routes
from execlog.web.signing import Signing
from execlog.web.site import page_routes
from execlog.web.table import RouteTable
from execlog.web.templates import Templates
from execlog.web.workers import Workers


def create_app(ledger: Ledger, kinds: Sequence[Kind] = (), settings: Settings | None = None) -> Starlette:
    """An ASGI app of the general API, the pages and the kinds' routes over a ledger, which stays the caller's to close.

    It can be mounted anywhere in a Starlette or FastAPI app. `app.state` has the route table (`table`), and what ends
    the live streams when a server begins to stop (`stop`, to be called on its event loop). Raises SettingsError for
    tokens that say no role, ValueError for two routes of one method and path.
    """
    settings = settings or ledger.settings
    access = Access(settings)
    workers = Workers()
    arrivals = Arrivals()
    requests = Requests()
    feeds = Feeds(ledger, workers, most_clients=settings.sse_clients)
    templates = Templates(access)
    watching = system_routes(Health(ledger, feeds), Metrics(ledger, feeds, requests))
    routes = [*general_routes(Executions(ledger), feeds), *watching]
    routes += [route for kind in kinds for route in kind.routes]
    jobs = job_routes(routes, ledger, templates)
    templates.has_jobs = bool(jobs)
    pages = Pages(ledger, templates, offers(routes))
    routes += [*page_routes(pages, templates, Signing(access, templates)), *jobs]
    routes += manual_routes(routes, templates, tokens=not access.open)
    limit, refusal = settings.body_limit, templates.refusal
    endpoint = partial(Endpoint, access=access, requests=requests, arrivals=arrivals, body_limit=limit, page_of=refusal)
    # Who watches must not wait behind requests that wait for a store that hangs.
    apart = {route.path: Workers() for route in watching}
    table = RouteTable([endpoint(route, workers=apart.get(route.path, workers)) for route in routes], page_of=refusal)

    def stop() -> None:
        for pool in (workers, *apart.values()):
            pool.stopping = True
        feeds.close()
        for kind in kinds:
            if kind.stop is not None:
                kind.stop()
        arrivals.cancel()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        stop()
        for pool in (workers, *apart.values()):
            pool.close()

    app = Starlette(routes=[table], middleware=[Middleware(Guard, access=access)], lifespan=lifespan)
    app.router.redirect_slashes = False
    app.router.default = table.answer_unknown
    app.state.table, app.state.stop = table, stop
    return app
