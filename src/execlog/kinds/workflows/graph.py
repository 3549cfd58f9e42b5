"""The graph of a workflow's steps: who waits for whom, in which order, and whether it can run at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

from msgspec import Struct

from execlog.core.errors import InvalidError
from execlog.kinds.workflows.definition import AnyStep, LLMStep, ShellStep, Workflow
from execlog.kinds.workflows.template import is_template, references

_TAKES_SCRIPT = re.compile(r"-[a-z]*c")
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})


class Graph(Struct, frozen=True):
    """A workflow that can run.

    needs      by step, the steps that come before it, in the order they stand in the document
    order      all steps, each after those it needs; otherwise in the order of the document
    leaves     the steps nobody needs, in the order of the document
    """

    workflow: Workflow
    steps: dict[str, AnyStep]
    needs: dict[str, tuple[str, ...]]
    order: tuple[str, ...]
    leaves: tuple[str, ...]


def graph_of(workflow: Workflow) -> Graph:
    """The graph of a workflow.

    Raises InvalidError naming the step for anything that keeps it from running: an id twice, a step that is not there,
    a cycle, a template that is none.
    """
    steps: dict[str, AnyStep] = {}
    for step in workflow.steps:
        if step.id in steps:
            raise _wrong(step, "another step has the same id")
        steps[step.id] = step
    position = {step_id: place for place, step_id in enumerate(steps)}
    needs: dict[str, tuple[str, ...]] = {}
    for step in steps.values():
        _check(step)
        wanted = {*step.needs, *_implied(step)}
        _check_known(step, wanted, steps)
        needs[step.id] = tuple(sorted(wanted, key=position.__getitem__))
    _check_output(workflow, steps)
    needed = {before for wanted in needs.values() for before in wanted}
    leaves = tuple(step_id for step_id in steps if step_id not in needed)
    return Graph(workflow, steps, needs, order_of(needs), leaves)


def order_of(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The keys, each after those it needs; among those that could come next, the one that stands first.

    Raises InvalidError that spells the cycle out where there is one.
    """
    place = {step_id: number for number, step_id in enumerate(needs)}
    names = list(needs)
    waiting = {step_id: len(set(wanted)) for step_id, wanted in needs.items()}
    followers: dict[str, list[str]] = {step_id: [] for step_id in needs}
    for step_id, wanted in needs.items():
        for before in set(wanted):
            followers[before].append(step_id)
    ready = [place[step_id] for step_id, count in waiting.items() if not count]
    heapify(ready)
    order: list[str] = []
    while ready:
        step_id = names[heappop(ready)]
        order.append(step_id)
        for follower in followers[step_id]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, place[follower])
    if len(order) < len(names):
        left = {step_id: needs[step_id] for step_id in names if waiting[step_id]}
        cycle = " → ".join(cycle_in(left))
        raise InvalidError(f"steps wait for each other: {cycle}", field="steps")
    return tuple(order)


def cycle_in(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """A cycle among steps of which each waits for another of them; it begins and ends with the same step."""
    step_id = next(iter(needs))
    seen: list[str] = []
    while step_id not in seen:
        seen.append(step_id)
        step_id = next(before for before in needs[step_id] if before in needs)
    return [*seen[seen.index(step_id) :], step_id][::-1]


def _implied(step: AnyStep) -> set[str]:
    """The steps that a step's templates name."""
    found: set[str] = set()
    for name, value in step.templates().items():
        try:
            found |= references(value)
        except InvalidError as error:
            raise _wrong(step, f"{name}: {error}") from error
    if step.when is not None:
        try:
            found |= references(step.when, condition=True)
        except InvalidError as error:
            raise _wrong(step, f"when: {error}") from error
    return found


def _check_known(step: AnyStep, wanted: set[str], steps: Mapping[str, AnyStep]) -> None:
    if step.id in wanted:
        raise _wrong(step, "it needs itself")
    unknown = sorted(wanted - steps.keys())
    if unknown:
        raise _wrong(step, f"it needs {unknown[0]!r}, which is no step of this workflow")


def _check(step: AnyStep) -> None:
    if isinstance(step, LLMStep) and not step.prompt and not step.messages:
        raise _wrong(step, "it asks nothing: give it a prompt or messages")
    if isinstance(step, ShellStep):
        _check_command(step)


def _check_command(step: ShellStep) -> None:
    """Data put into a script by a template would be run as code."""
    names = [os.path.basename(argument) for argument in step.command]  # noqa: PTH119 - text, not a path
    # Anywhere: a shell may be started by another program, as by `timeout 5 sh -c …`.
    shells = [place for place, name in enumerate(names) if name in SHELLS]
    if not shells or (shells[0] > 0 and not any(map(_TAKES_SCRIPT.match, step.command[shells[0] :]))):
        return
    if any(is_template(argument) for argument in step.command):
        raise _wrong(step, "a template in a shell's script would let data run as code: hand it over in env, as $NAME")


def _check_output(workflow: Workflow, steps: Mapping[str, AnyStep]) -> None:
    try:
        unknown = sorted(references(workflow.output) - steps.keys())
    except InvalidError as error:
        raise InvalidError(f"output: {error}", field="output") from error
    if unknown:
        raise InvalidError(f"output: {unknown[0]!r} is no step of this workflow", field="output")


def _wrong(step: AnyStep, message: str) -> InvalidError:
    return InvalidError(f"step {step.id!r}: {message}", field="steps")
