"""What an engine has for steps to use, and which of it a step uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from execlog.core.errors import InvalidError
from execlog.kinds.workflows.definition import AnyStep, LLMStep, PythonStep, ShellStep, ToolStep
from execlog.kinds.workflows.graph import Graph
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.steps import asking, callables, commands
from execlog.kinds.workflows.steps.context import StepContext

Function = Callable[..., Any]


class Performer:
    """Performs steps with an engine's functions, tools and endpoints; coroutines in `loop`, where there is one."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        tools: Mapping[str, Function],
        endpoints: Mapping[str, Endpoint],
        loop: asyncio.AbstractEventLoop | None,
        jitter: Callable[[], float],
    ) -> None:
        self._functions = functions
        self._tools = tools
        self._endpoints = endpoints
        self._loop = loop
        self._jitter = jitter

    def check(self, graph: Graph) -> None:
        """Nothing, when everything the steps use is there. Raises InvalidError naming the first step that lacks it."""
        for step in graph.steps.values():
            try:
                self._find(step)
            except InvalidError as error:
                raise InvalidError(f"step {step.id!r}: {error}", field="steps") from error

    def perform(self, step: AnyStep, values: dict[str, Any], context: StepContext) -> Any:
        """The step's output. Raises whatever makes it fail."""
        match step:
            case LLMStep():
                endpoint = asking.find_endpoint(step.endpoint, self._endpoints)
                return asking.perform(step, values, context, endpoint, self._jitter)
            case ShellStep():
                return commands.run(values, context, output=step.output)
            case PythonStep() | ToolStep():
                return callables.call(self._find(step), values["input"], context, self._loop)

    def _find(self, step: AnyStep) -> Any:
        match step:
            case LLMStep():
                return asking.find_endpoint(step.endpoint, self._endpoints)
            case PythonStep():
                return callables.find_function(step.function, self._functions)
            case ToolStep():
                if step.tool not in self._tools:
                    known = ", ".join(sorted(self._tools)) or "none"
                    raise InvalidError(f"no tool {step.tool!r}: the engine has {known}")
                return self._tools[step.tool]
            case ShellStep():
                return None
