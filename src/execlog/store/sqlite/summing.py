"""Adding executions up: the store counts them in its cells some hundreds at a time, and until then they are the tail.

`apply` only writes rows. The `summed` row says up to which number the cells go; whoever asks adds up what is beyond it
from the executions, in the same snapshot. The `apply` that makes the tail long enough counts it into the cells, in its
own transaction and by one statement, which needs neither Python nor the interpreter.
"""

from __future__ import annotations

from execlog.core.rollup import LOG_GAMMA, LONGEST_MICROS
from execlog.store.sql import queries
from execlog.store.sqlite.buckets import shorten
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.sketches import DIGITS

TAIL = 500
"""How long the tail may get: adding it up is what a question about statistics costs besides its cells."""

_MOST = 8_192
"""How many are counted at once: so many counts of 10¹⁵, the greatest that is stored, stay within 64 bits."""

_SQL = queries("sqlite", "buckets")
_COUNT = _SQL["add_cells"].format(source=_SQL["cells_of_tail"])


def sum_tail(session: Session, summed: int, last: int) -> None:
    """Count the executions after number `summed` up to the last one, if they have become many."""
    if last - summed < TAIL:
        return
    for after in range(summed, last, _MOST):
        span = {"after": after, "until": min(after + _MOST, last)}
        session.run(_COUNT, {**span, "digits": DIGITS, "log_gamma": LOG_GAMMA, "longest": LONGEST_MICROS})
        shorten(session, **span)
    session.run(_SQL["set_summed"], {"number": last})
