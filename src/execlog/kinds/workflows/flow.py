"""`Flow`: a workflow written in Python, with functions as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.kinds.workflows.definition import AnyStep, LLMStep, PythonStep, ShellStep, ToolStep, Workflow

Function = Callable[..., Any]
S = TypeVar("S", PythonStep, ToolStep, ShellStep, LLMStep)


class Flow:
    """A workflow being written: add steps, then hand it to `ExecutionEngine.run`.

        flow = Flow("report", input={"symbol": "AAPL"})
        flow.python("load", load_prices, input={"symbol": "{{ input.symbol }}"})
        flow.llm("words", model="gpt-4o-mini", prompt="Describe: {{ steps.load.output }}")

    Every method takes what the step's Struct in `definition` has, and returns the step's id. Raises InvalidError.
    """

    def __init__(self, name: str, **fields: Any) -> None:
        self.functions: dict[str, Function] = {}
        self._fields = {"name": name, **fields}
        self._steps: list[AnyStep] = []

    def python(self, id: str, function: Function | str, **fields: Any) -> str:
        """A step that calls a Python function, plain or async, with `input` as its keyword arguments."""
        return self._add(PythonStep, id, function=self._name(function), **fields)

    def tool(self, id: str, tool: str, **fields: Any) -> str:
        """A step that calls one of the engine's tools by its name."""
        return self._add(ToolStep, id, tool=tool, **fields)

    def shell(self, id: str, command: Sequence[str], **fields: Any) -> str:
        """A step that runs a command."""
        return self._add(ShellStep, id, command=list(command), **fields)

    def llm(self, id: str, *, model: str, **fields: Any) -> str:
        """A step that asks a model."""
        return self._add(LLMStep, id, model=model, **fields)

    @property
    def workflow(self) -> Workflow:
        """The workflow as it stands. Raises InvalidError."""
        return convert(written(self._fields) | {"steps": self._steps}, Workflow)

    def _add(self, type_: type[S], id: str, **fields: Any) -> str:
        try:
            step = convert(written(fields) | {"id": id}, type_)
        except InvalidError as error:
            raise InvalidError(f"step {id!r}: {error}", field="steps") from error
        self._steps.append(step)
        return id

    def _name(self, function: Function | str) -> str:
        if isinstance(function, str):
            return function
        module = getattr(function, "__module__", None) or "__main__"
        name = f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"
        known = self.functions.setdefault(name, function)
        if known is not function:
            name = f"{name}#{len(self.functions) + 1}"
            self.functions[name] = function
        return name


def written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as documents name them; those of a retry and of a budget too."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        nested = name in {"retry", "budget"} and isinstance(value, Mapping)
        found[_camel(name)] = written(cast("Mapping[str, Any]", value)) if nested else value
    return found


def _camel(name: str) -> str:
    if name == "max_cost_usd":
        return "maxCostUSD"
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
