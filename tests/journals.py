"""A recorder of its own, and what it wrote into its journal."""

from __future__ import annotations

from execlog.core.model import Event
from execlog.recorder import segment
from execlog.recorder.drain import decode
from execlog.recorder.recorder import Recorder
from execlog.recorder.segment import FIRST, Reader

TIMES = {"started_at": 5, "ended_at": 7}


def said(recorder: Recorder) -> list[Event]:
    folder = recorder.journal.folder
    events = []
    for number in segment.numbers(folder):
        reader = Reader(segment.path_of(folder, number))
        events += [decode(frame) for frame in reader.scan(FIRST, 10**6, sealed=True).frames]
        reader.close()
    return events
