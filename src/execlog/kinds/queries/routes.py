"""The rows of the route table that belong to queries: their history and statistics, and the gateway's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from execlog.core.errors import ForbiddenError
from execlog.kind import Call, Kind, Route
from execlog.kinds.queries import history as answers
from execlog.kinds.queries.execute import Executor, execute_routes
from execlog.kinds.queries.gateway import Gateway
from execlog.kinds.queries.record import KIND, WORDS
from execlog.kinds.queries.sealing import sealer_of
from execlog.ledger import Ledger

TAG = "queries"


class Histories:
    """The handlers of the history's routes over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        sealer = sealer_of(ledger.settings.home)
        self._unseal = None if sealer is None else sealer.open

    def history(self, call: Call) -> answers.History:
        """A page of a user's executions."""
        check_user(call, call.params.user_id)
        return answers.history(self._ledger, call.params, self._unseal)

    def user_stats(self, call: Call) -> answers.UserStats:
        """A user's statistics."""
        check_user(call, call.params.user_id)
        return answers.user_stats(self._ledger, call.params.user_id, call.params.days)

    def user_database_stats(self, call: Call) -> answers.UserDatabaseStats:
        """A user's figures by type of database."""
        user_id: str = call.params.user_id
        check_user(call, user_id)
        return answers.UserDatabaseStats(user_id, answers.database_stats(self._ledger, user_id))

    def global_stats(self, call: Call) -> answers.GlobalStats:
        """Everybody's statistics."""
        return answers.global_stats(self._ledger, call.params.days)

    def global_database_stats(self, _call: Call) -> answers.GlobalDatabaseStats:
        """Everybody's figures by type of database."""
        return answers.GlobalDatabaseStats(answers.database_stats(self._ledger))


def query_kind(ledger: Ledger, gateway: Gateway | None = None) -> Kind:
    """The kind `query` over a ledger: its words and its routes, over a gateway to the connections of the ledger's home.

    Whoever passes a gateway closes it; one of its own is closed when the server stops. Raises SettingsError for
    connections that cannot be used.
    """
    asked = gateway or Gateway.open(ledger)
    routes = (*history_routes(Histories(ledger)), *execute_routes(Executor(asked)))
    return Kind(name=KIND, words=WORDS, routes=routes, stop=closing(asked) if gateway is None else None)


def closing(gateway: Gateway) -> Callable[[], None]:
    """What begins to close the gateway, without waiting: what runs is cancelled, and its requests are answered so."""
    closing = threading.Thread(target=gateway.close, name="execlog-gateway-close", daemon=True)

    def stop() -> None:
        if closing.ident is None:  # a server that stops says so twice
            closing.start()

    return stop


def history_routes(handlers: Histories) -> tuple[Route, ...]:
    """The five routes of the history."""
    return (
        Route(
            method="GET",
            path="/api/v1/executions/{user_id}",
            handler=handlers.history,
            summary="A user's query executions, newest first",
            params=answers.HistoryQuestion,
            returns=answers.History,
            limited=True,
            tag=TAG,
        ),
        Route(
            method="GET",
            path="/api/v1/executions/{user_id}/stats",
            handler=handlers.user_stats,
            summary="What a user's queries of the last days come to",
            params=answers.UserPeriodQuestion,
            returns=answers.UserStats,
            limited=True,
            tag=TAG,
        ),
        Route(
            method="GET",
            path="/api/v1/executions/{user_id}/database-stats",
            handler=handlers.user_database_stats,
            summary="What a user's queries come to, by type of database",
            params=answers.UserQuestion,
            returns=answers.UserDatabaseStats,
            limited=True,
            tag=TAG,
        ),
        Route(
            method="GET",
            path="/api/v1/executions/stats/global",
            handler=handlers.global_stats,
            summary="What everybody's queries of the last days come to",
            params=answers.PeriodQuestion,
            returns=answers.GlobalStats,
            tag=TAG,
        ),
        Route(
            method="GET",
            path="/api/v1/executions/database-stats/global",
            handler=handlers.global_database_stats,
            summary="What everybody's queries come to, by type of database",
            returns=answers.GlobalDatabaseStats,
            tag=TAG,
        ),
    )


def check_user(call: Call, user_id: str) -> None:
    """Nothing, unless the caller is limited to another user: raises ForbiddenError."""
    actor = call.principal.actor
    if actor is not None and actor != user_id:
        raise ForbiddenError(f"your token is limited to {actor!r}")
