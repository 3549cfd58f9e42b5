"""What an exception says of itself: its causes, the parts of a group, a command's last words."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from execlog.core.errors import InvalidError
from execlog.core.fingerprint import fingerprint
from execlog.core.ids import check_id
from execlog.core.model import Status
from execlog.recorder.fault import error_of, status_of


def fault_of(function, *args):
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
        function(*args)
    return raised.value


def look_up():
    return {}["x"]


def wrap(cause):
    try:
        look_up()
    except KeyError as error:
        if cause == "named":
            raise ValueError("no such stock") from error
        if cause == "hidden":
            raise ValueError("no such stock") from None
        raise ValueError("no such stock")  # noqa: B904 - so it is written often


def test_a_cause_is_told_with_its_place():
    first, cause = error_of(fault_of(wrap, "named")).message.split("\n")
    assert first == "no such stock"
    assert cause.startswith("caused by KeyError: 'x' (at ")
    assert cause.endswith(" look_up)")


def test_what_was_being_handled_is_told_unless_it_is_hidden():
    assert error_of(fault_of(wrap, "by the way")).message.split("\n")[1].startswith("while handling KeyError: 'x' (at ")
    assert error_of(fault_of(wrap, "hidden")).message == "no such stock"


def test_an_error_is_the_same_whatever_was_being_handled():
    hidden, by_the_way = (error_of(fault_of(wrap, cause)) for cause in ("hidden", "by the way"))
    assert fingerprint(hidden) != fingerprint(error_of(fault_of(look_up)))
    message = by_the_way.message.split("\n")[0]
    assert message == hidden.message


def test_causes_that_go_in_a_circle_end():
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert error_of(one).message == "one\ncaused by KeyError: 'other'"


def test_the_parts_of_a_group_are_told_with_their_places():
    async def fetch(number):
        await asyncio.sleep(0)
        raise ConnectionError(f"row {number}")

    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch(1))
            group.create_task(fetch(2))

    _, *parts = error_of(fault_of(asyncio.run, both())).message.split("\n")
    assert [part.split(" (at ")[0] for part in parts] == ["- ConnectionError: row 1", "- ConnectionError: row 2"]
    assert all(part.endswith("fetch)") for part in parts)


@pytest.mark.parametrize("text", [True, False])
def test_a_command_that_failed_has_the_last_word(text):
    program = "import sys; sys.stderr.write('reading\\ndisk full\\n\\n'); sys.exit(3)"
    command = [sys.executable, "-c", program]
    fault = fault_of(lambda: subprocess.run(command, check=True, capture_output=True, text=text))
    assert error_of(fault).message.endswith("returned non-zero exit status 3: disk full")
    quiet = fault_of(lambda: subprocess.run([sys.executable, "-c", "exit(3)"], check=True))
    assert error_of(quiet).message.endswith("returned non-zero exit status 3.")


def test_a_command_whose_time_was_up_timed_out():
    assert status_of(subprocess.TimeoutExpired("sleep", 3)) is Status.TIMED_OUT
    assert status_of(subprocess.CalledProcessError(1, "sleep")) is Status.FAILED


def test_an_error_of_execlog_s_own_has_no_frames_of_execlog():
    with ThreadPoolExecutor(1) as pool:
        fault = pool.submit(check_id, "").exception()
    assert isinstance(fault, InvalidError)
    assert not [frame for frame in error_of(fault).frames if "/execlog/" in frame]
