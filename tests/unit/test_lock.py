"""Locks that die with their holder, are not inherited, and hold inside one process too."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from execlog.recorder.lock import FileLock, holder


def test_a_lock_excludes_other_objects_of_this_process(tmp_path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert holder(tmp_path / "lock") == os.getpid()
    first.release()
    assert holder(tmp_path / "lock") is None
    assert second.acquire()
    second.release()


def test_asking_does_not_drop_the_lock(tmp_path):
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    (tmp_path / "link").symlink_to(tmp_path / "lock")
    assert holder(tmp_path / "link") == os.getpid()
    assert not FileLock(tmp_path / "link").acquire()
    assert holder_elsewhere(tmp_path / "lock") == os.getpid()
    lock.release()


def test_a_lock_follows_its_file_when_that_moves(tmp_path):
    (tmp_path / "a").mkdir()
    lock = FileLock(tmp_path / "a" / "lock")
    lock.acquire()
    (tmp_path / "a").rename(tmp_path / "b")
    assert holder(tmp_path / "b" / "lock") == os.getpid()
    assert holder_elsewhere(tmp_path / "b" / "lock") == os.getpid()
    lock.release()
    assert holder(tmp_path / "b" / "lock") is None


def test_a_forked_child_does_not_hold_its_parents_locks(tmp_path):
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    child = os.fork()
    if child == 0:
        fine = not lock.held and holder(tmp_path / "lock") == os.getppid() and not FileLock(tmp_path / "lock").acquire()
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert holder_elsewhere(tmp_path / "lock") == os.getpid()
    lock.release()


def test_a_lock_dies_with_its_process(tmp_path):
    script = "import sys, time; from pathlib import Path; from execlog.recorder.lock import FileLock; "
    script += "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert holder(tmp_path / "lock") == process.pid
    assert not FileLock(tmp_path / "lock").acquire()
    process.kill()
    process.wait()
    process.stdout.close()
    assert holder(tmp_path / "lock") is None


def test_a_fork_while_a_thread_holds_the_table_does_not_block_the_child(tmp_path):
    from execlog.recorder import lock as module

    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with module._guard:
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if FileLock(tmp_path / "lock").acquire() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    leave.set()
    thread.join()


def holder_elsewhere(path) -> int | None:
    """What another process sees."""
    script = "import sys; from pathlib import Path; from execlog.recorder.lock import holder; "
    script += "print(holder(Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return None if done.stdout.strip() == "None" else int(done.stdout)
