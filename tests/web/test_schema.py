"""The OpenAPI document against the app: schemathesis sends what fits and what does not; all answers are documented."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

import histories
from execlog.cli.families import open_families
from execlog.ledger import Ledger
from execlog.web.app import create_app

LEAST = int(os.environ.get("EXECLOG_SCHEMA_CASES", "2000"))
"""Cases to send in all, half of them of what fits and half of what does not; `make fuzz` asks for more."""
SEED = int(os.environ.get("EXECLOG_SCHEMA_SEED", "2026"))
"""What the cases are drawn from: the same seed sends the same requests."""
ROUND = 10
"""Cases of each operation a round; rounds follow, each of a seed of its own, until there were enough."""

CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
ENDLESS = "text/event-stream"


@pytest.fixture(scope="module")
def schema(tmp_path_factory) -> Iterator[schemathesis.BaseSchema]:
    home = tmp_path_factory.mktemp("home")
    with Ledger.open("memory://", home=home) as ledger, open_families(ledger, schedule=False) as (kinds, _):
        histories.seed(ledger, *histories.mixed())
        allowed = msgspec.structs.replace(ledger.settings, allowed_hosts=("testserver",))
        app = create_app(ledger, kinds, allowed)
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.slow
@pytest.mark.timeout(0 if LEAST > 2000 else 300)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_documented(schema, mode, capsys):
    load_all_checks()
    checks = CHECKS.get_by_names(list(CHECKED))
    operations = [operation for operation in (result.ok() for result in schema.get_all_operations()) if ends(operation)]
    answered: Counter[int] = Counter()
    wrong: list[str] = []
    for number in itertools.count(SEED):
        for operation in operations:
            try:
                send(operation, mode, number, checks, answered)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.path  # without a parameter, nothing does not fit
            except Exception as error:  # noqa: BLE001 - every operation is tried, and all that is wrong told at once
                wrong.append(f"{operation.method.upper()} {operation.path}: {describe(error)}")
        if wrong or answered.total() >= LEAST / 2:
            break
    with capsys.disabled():
        print(f"\n{mode.value}: {answered.total()} cases from seed {SEED}: {dict(sorted(answered.items()))}")  # noqa: T201 - the seed, for the log
    assert wrong == []
    assert not [status for status in answered if status >= 500]


def send(operation, mode: GenerationMode, number: int, checks, answered: Counter[int]) -> None:
    """Send a round of cases to an operation. Raises what the checks find."""

    @settings(
        max_examples=ROUND,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @seed(number)
    @given(case=operation.as_strategy(generation_mode=mode))
    def one_by_one(case):
        response = case.call()
        answered[response.status_code] += 1
        case.validate_response(response, checks=checks)

    one_by_one()


def ends(operation) -> bool:
    """Whether its answer comes to an end."""
    return ENDLESS not in str(operation.definition.raw["responses"])


def describe(error: BaseException) -> str:
    """What is wrong, of an error or of a group of them."""
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    return "; ".join(f"{part} {''.join(getattr(part, '__notes__', []))}"[:1500] for part in parts)
