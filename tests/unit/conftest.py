"""What the tests share: a scheduler's house, a runner, a recorder, a ledger."""

import pytest

from chores import gate
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.recorder.recorder import Recorder
from execlog.runner.runner import Runner
from flights import Events
from scheduler_house import House


@pytest.fixture
def house(tmp_path):
    gate.clear()
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def sink():
    return Events()


@pytest.fixture
def runner(sink):
    made = Runner(sink)
    yield made
    made.close(timeout=5)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(load({}, home=str(tmp_path)), tmp_path / "journal" / "store")
    yield made
    journal = made.detach()
    if journal is not None:
        journal.close(remove=True)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as opened:
        yield opened
