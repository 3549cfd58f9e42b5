"""What the tests of the scheduler share."""

import pytest

from chores import gate
from scheduler_house import House


@pytest.fixture
def house(tmp_path):
    gate.clear()
    made = House(tmp_path)
    yield made
    made.close()
