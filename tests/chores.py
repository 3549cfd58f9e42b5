"""Functions that jobs of the tests run: importable by name from any process."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import defaultdict

from execlog.runner.stop import is_cancelled, pause

seen = defaultdict(list)
gate = threading.Event()
lock = threading.Lock()
state = {"running": 0, "most": 0}


def double(item):
    return item * 2


def fail_on_b(item):
    if item == "B":
        raise ValueError("no b here")
    return {"item": item}


def measure(item):
    with lock:
        state["running"] += 1
        state["most"] = max(state["most"], state["running"])
    time.sleep(0.02)
    with lock:
        state["running"] -= 1


def stick_on_b(item):
    if item == "B":
        gate.wait(60)
    return item


def wait_politely():
    seen["began"].append(True)
    for _ in range(6000):
        if is_cancelled():
            seen["polite"].append(True)
            return "stopped"
        if pause(0.01):
            continue
    return "ended"


def leave(code):
    sys.exit(code)


async def later(item):
    await asyncio.sleep(0)
    return f"later {item}"


def counting(item):
    yield from range(3)
    seen["counting"].append(item)
    return f"counted {item}"


async def counting_later(item):
    for number in range(3):
        await asyncio.sleep(0)
        yield number
    seen["counting_later"].append(item)


def nest():
    import execlog

    with execlog.run("inner"):
        pass


def die_on_b(item):
    if item == "B":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def in_a_pool(numbers):
    """What a `multiprocessing` pool makes of the numbers."""
    with multiprocessing.Pool(2) as pool:
        return pool.map(abs, numbers)


def spin_on_b(item):
    while item == "B":
        time.sleep(0.01)
    return item


def spin(item):
    while not is_cancelled():
        time.sleep(0.01)


def unpicklable(item):
    return lambda: item


def wait_for(condition, seconds=10):
    """Wait until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def speak(item):
    """Say something about the execution this runs in."""
    import execlog

    run = execlog.current_run()
    run.log(f"fetching {item}", item=item)
    run.rows(3)
    with execlog.run("inner"):
        pass
    return run.id


def mark(path):
    """Note outside of execlog that this execution ran."""
    import execlog

    _write(path, execlog.current_run().id)


def mark_and_wait(path):
    """Note which process runs this, and stay."""
    import execlog

    _write(path, f"{execlog.current_run().id}:{os.getpid()}")
    while not pause(10):
        pass


def _write(path, text):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text}\n".encode())
    os.close(file)
