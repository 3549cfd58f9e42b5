"""The rows of the route table that people see: pages, their files, signing in."""

from __future__ import annotations

from execlog.kind import Route
from execlog.web.pages import Browse, OneExecution, OneSubject, Pages, WhichFailures
from execlog.web.signing import FORM, Next, Signing
from execlog.web.templates import HTML, Asset, Templates


def page_routes(pages: Pages, templates: Templates, signing: Signing) -> list[Route]:
    """The pages."""
    return [
        Route(
            method="GET",
            path="/",
            handler=pages.overview,
            summary="What ran lately, how it went, and what failed",
            media_type=HTML,
            limited=True,
            documented=False,
        ),
        Route(
            method="GET",
            path="/executions",
            handler=pages.executions,
            summary="Executions, narrowed",
            params=Browse,
            media_type=HTML,
            limited=True,
            documented=False,
        ),
        Route(
            method="GET",
            path="/executions/{id}",
            handler=pages.execution,
            summary="One execution",
            params=OneExecution,
            media_type=HTML,
            limited=True,
            documented=False,
        ),
        Route(
            method="GET",
            path="/subject",
            handler=pages.subject,
            summary="One subject's history",
            params=OneSubject,
            media_type=HTML,
            limited=True,
            documented=False,
        ),
        Route(
            method="GET",
            path="/failures",
            handler=pages.failures,
            summary="Failures by what they have in common",
            params=WhichFailures,
            media_type=HTML,
            limited=True,
            documented=False,
        ),
        Route(
            method="GET",
            path="/static/{name}",
            handler=templates.asset,
            summary="A file of the pages",
            params=Asset,
            role="public",
            documented=False,
        ),
        Route(
            method="GET",
            path="/login",
            handler=signing.ask,
            summary="Sign in",
            params=Next,
            media_type=HTML,
            role="public",
            documented=False,
        ),
        Route(
            method="POST",
            path="/login",
            handler=signing.sign_in,
            summary="Sign in with a token",
            body=bytes,
            accepts=(FORM,),
            media_type=HTML,
            role="public",
            documented=False,
        ),
        Route(
            method="POST",
            path="/logout",
            handler=signing.sign_out,
            summary="Sign out",
            media_type=HTML,
            role="public",
            documented=False,
        ),
    ]
