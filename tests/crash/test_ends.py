"""However a process ends, what it recorded is kept; and what it left open is called crashed soon, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from crash.harness import Acks, Scene, check, everything, serving, start, wait_until
from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.recorder.home import Home
from execlog.recorder.lock import holder

pytestmark = pytest.mark.crash


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path, f"sqlite:///{tmp_path}/store.db")


def script(scene: Scene, text: str, *arguments: str, **how) -> subprocess.Popen[str]:
    """A user's script, with the scene as its home."""
    environment = os.environ | {"EXECLOG_HOME": scene.home, "EXECLOG_STORE": scene.store} | how.pop("env", {})
    path = scene.folder / f"script{len(list(scene.folder.glob('script*')))}.py"
    path.write_text(textwrap.dedent(text))
    return subprocess.Popen([sys.executable, str(path), *arguments], env=environment, text=True, **how)


def finish(process: subprocess.Popen[str], code: int = 0) -> None:
    assert process.wait(60) == code


def ids(scene: Scene) -> dict[str, Status]:
    with scene.open() as ledger:
        while ledger.drain_dead():
            pass
        return {execution.id: execution.status for execution in everything(ledger.store, Filter())}


@pytest.mark.parametrize(
    ("ends", "code"),
    [("", 0), ("_exit", 0), ("kill", -signal.SIGKILL), ("abort", -signal.SIGABRT)],
    ids=["exit", "_exit", "kill", "abort"],
)
def test_every_way_to_end(scene, ends, code):
    acks = scene.acks("t")
    assert start(scene.task("t", acks, how="mixed", count=300, threads=3, ends=ends)).wait(60) == code
    with scene.open() as ledger:
        assert check(ledger, "t", acks) == 900


@pytest.mark.parametrize(("ends", "code"), [("", -signal.SIGTERM), ("sigterm-handled", 3)], ids=["default", "handled"])
def test_sigterm(scene, ends, code):
    acks = scene.acks("t")
    victim = start(scene.task("t", acks, how="mixed", threads=2, ends=ends))
    wait_until(lambda: acks.total() > 100, "some acknowledgements")
    victim.send_signal(signal.SIGTERM)
    assert victim.wait(60) == code
    with scene.open() as ledger:
        assert check(ledger, "t", acks) > 100


def test_a_finished_script_leaves_no_journal(scene):
    finish(script(scene, "import execlog\nwith execlog.run('a'): pass"))
    assert not list((scene.folder / "home" / "journal").rglob("*.seg"))
    assert list(ids(scene).values()) == [Status.SUCCEEDED]


def test_daemon_threads_that_record_during_the_exit_lose_nothing(scene):
    finish(
        script(
            scene,
            """
            import os, sys, threading, time, execlog
            acks = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
            def record(name):
                number = 0
                while True:
                    execlog.record("late", id=f"{name}.{number}")
                    number += 1
                    os.pwrite(acks, number.to_bytes(8, "little"), 8 * name)
                    time.sleep(0.0005)
            for name in range(3):
                threading.Thread(target=record, args=(name,), daemon=True).start()
            while os.fstat(acks).st_size < 24: pass
            """,
            str(scene.folder / "acks"),
        )
    )
    acknowledged = (scene.folder / "acks").read_bytes()
    counts = [int.from_bytes(acknowledged[8 * name : 8 * name + 8], "little") for name in range(3)]
    found = ids(scene)
    assert min(counts) > 0
    assert {f"{name}.{number}" for name in range(3) for number in range(counts[name])} <= set(found)


def test_forks_while_threads_record(scene):
    finish(
        script(
            scene,
            """
            import os, sys, threading, time, warnings, execlog
            warnings.simplefilter("ignore")
            going = True
            def record(name):
                while going:
                    execlog.record("thread")
                    time.sleep(0.0005)
            threads = [threading.Thread(target=record, args=(name,), daemon=True) for name in range(3)]
            for thread in threads: thread.start()
            with execlog.run("parent", id="parent"):
                for number in range(10):
                    child = os.fork()
                    if child == 0:
                        with execlog.run("child", id=f"child.{number}"): pass
                        execlog.record("grandchild", id=f"said.{number}")
                        assert execlog.flush(30) if number % 2 else True
                        os._exit(0)
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            going = False
            """,
        )
    )
    found = ids(scene)
    for number in range(10):
        assert found[f"child.{number}"] is found[f"said.{number}"] is Status.SUCCEEDED
    assert found["parent"] is Status.SUCCEEDED


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(scene, method):
    finish(
        script(
            scene,
            """
            import multiprocessing, sys, warnings, execlog
            warnings.simplefilter("ignore")
            def work(number):
                with execlog.run("work", id=f"work.{number}") as run: run.rows(number)
                return number
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                with execlog.run("all", id="all"), context.Pool(3) as pool:
                    assert pool.map(work, range(30)) == list(range(30))
                    pool.close(); pool.join()
            """,
            method,
        )
    )
    assert ids(scene) == dict.fromkeys(["all", *(f"work.{number}" for number in range(30))], Status.SUCCEEDED)


def test_asyncio(scene):
    finish(
        script(
            scene,
            """
            import asyncio, execlog
            async def one(number):
                async with execlog.run("one", id=f"one.{number}"):
                    await asyncio.sleep(0.001)
            async def main():
                await asyncio.gather(*(one(number) for number in range(100)))
            asyncio.run(main())
            """,
        )
    )
    assert ids(scene) == {f"one.{number}": Status.SUCCEEDED for number in range(100)}


def test_several_processes_and_threads_on_one_home(scene):
    acks = scene.acks("t")
    with serving(scene, Acks(scene.folder / "server.acks")):
        victims = [
            start(scene.task("t", acks, how="mixed", count=400, threads=2, slot=2 * number)) for number in range(4)
        ]
        assert [victim.wait(100) for victim in victims] == [0] * 4
    with scene.open() as ledger:
        assert check(ledger, "t", acks) == 3200


SLEEPER = """
    import sys, time, execlog
    with execlog.run("sleeper", id="sleeper") as run, run.item("a"):
        execlog.record("ready", id="ready")
        print("ready", flush=True)
        time.sleep(float(sys.argv[1]))
"""


def begin_sleeper(scene: Scene, seconds: float = 60) -> subprocess.Popen[str]:
    process = script(scene, SLEEPER, str(seconds), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


def test_the_executions_of_a_dead_process_are_crashed_within_two_seconds(scene):
    with scene.open(drains_home=True) as server:
        for _ in range(3):
            sleeper = begin_sleeper(scene)
            wait_until(lambda: server.store.get("sleeper"), "the start to be stored")
            assert server.store.get("sleeper").status is Status.RUNNING
            sleeper.kill()
            sleeper.wait()
            died = time.monotonic()
            wait_until(lambda: server.store.get("sleeper").status is Status.CRASHED, "the crash to be seen")
            assert time.monotonic() - died < 2.0
            crashed = server.store.get("sleeper")
            assert [item.status for item in crashed.items] == [Status.CRASHED]
            assert crashed.error is not None
            assert str(sleeper.pid) in crashed.error.message
            server.store.delete(Filter(), keep_marks=False)


def test_a_stopped_process_is_not_called_crashed(scene):
    with scene.open(drains_home=True) as server:
        sleeper = begin_sleeper(scene, 0.1)
        sleeper.send_signal(signal.SIGSTOP)
        wait_until(lambda: server.store.get("sleeper"), "the start to be stored")
        time.sleep(4.0)
        assert server.store.get("sleeper").status is Status.RUNNING
        sleeper.send_signal(signal.SIGCONT)
        finish(sleeper)
        wait_until(lambda: server.store.get("sleeper").status is Status.SUCCEEDED, "the outcome")


def test_a_late_real_outcome_wins(scene):
    sleeper = begin_sleeper(scene)
    sleeper.kill()
    sleeper.wait()
    with scene.open() as ledger:
        ledger.drain_dead()
        assert ledger.store.get("sleeper").status is Status.CRASHED
        ledger.append(Event(id="sleeper", kind="task", at=1, status=Status.SUCCEEDED, ended_at=2))
        assert ledger.flush()
        assert ledger.store.get("sleeper").status is Status.SUCCEEDED


def test_without_a_server_the_next_process_adopts(scene):
    sleeper = begin_sleeper(scene)
    sleeper.kill()
    sleeper.wait()
    finish(script(scene, "import execlog, time\nexeclog.record('next', id='next')"))
    with scene.open() as ledger:
        found = {execution.id: execution.status for execution in everything(ledger.store, Filter())}
    assert found == {"sleeper": Status.CRASHED, "ready": Status.SUCCEEDED, "next": Status.SUCCEEDED}
    assert not Home(scene.open().root, lambda: 0).journals()


def test_a_drain_process_empties_the_journal_and_then_ends(scene):
    finish(
        script(
            scene,
            """
            import execlog, time
            for number in range(500): execlog.record("a", id=str(number))
            assert execlog.flush(30)
            assert not [t for t in __import__("threading").enumerate() if "sqlite" in t.name]
            """,
            env={"EXECLOG_DRAIN": "process"},
        )
    )
    assert len(ids(scene)) == 500
    root = scene.open().root
    wait_until(lambda: holder(root / "server.lock") is None, "the drain process to end")


def test_with_drain_server_and_no_server_a_script_does_not_wait_at_its_exit(scene):
    began = time.monotonic()
    finish(script(scene, "import execlog\nexeclog.record('a', id='a')", env={"EXECLOG_DRAIN": "server"}))
    assert time.monotonic() - began < 4.0
    assert ids(scene) == {"a": Status.SUCCEEDED}
