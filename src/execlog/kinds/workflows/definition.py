"""What a workflow is: its steps and how they hang together. One model for Python, JSON and YAML.

Texts may hold templates: `{{ input.year }}`, `{{ steps.load.output }}`, `{{ execution.id }}`. A text that is one
expression and nothing else takes that expression's value as it is. A step waits for the steps its templates name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

StepId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$",
        description="Letters, digits and _, no digit first",
        examples=["load_prices"],
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=604_800, description="Seconds")]
Dollars = Annotated[float, Meta(ge=0, le=1e9, description="US dollars")]
Join = Literal["all", "any", "always"]


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """How often a step is tried: `delay` seconds before the second try, `factor` times as long before each further one.

    A fault that trying again cannot mend (a bad request, an exceeded budget) is not tried again.
    """

    attempts: Annotated[int, Meta(ge=1, le=20)] = 1
    delay: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    factor: Annotated[float, Meta(ge=1, le=10)] = 2.0
    max_delay: Annotated[float, Meta(ge=0, le=3600)] = 60.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What may be spent: the next model call is refused once this much is. `maxCostUSD` needs known prices."""

    max_cost_usd: Annotated[float, Meta(ge=0, le=1e9, description="US dollars")] | None = field(
        name="maxCostUSD", default=None
    )
    max_tokens: Annotated[int, Meta(ge=0, description="Tokens in plus out")] | None = None


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a conversation with a model."""

    role: Literal["user", "assistant"] = "user"
    content: str


class Step(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel", tag_field="type"
):
    """What every step has.

    needs       steps that come before this one, besides those its templates name
    when        an expression, as in a template: the step is skipped where it does not hold
    join        all: it runs when every step it needs completed (default); any: when all are over and one completed;
                always: when all are over, whatever became of them
    timeout     seconds for one try
    optional    whether the workflow may go on, and complete, without it
    """

    id: StepId
    name: str | None = None
    needs: tuple[StepId, ...] = ()
    when: str | None = None
    join: Join = "all"
    timeout: Seconds | None = None
    retry: Retry = Retry()
    optional: bool = False

    def templates(self) -> dict[str, Any]:
        """The fields whose texts may hold templates."""
        return {}


class PythonStep(Step, frozen=True, kw_only=True, tag="python"):
    """Call a Python function, plain or async: "module:function", or a name the engine was given."""

    function: str
    input: dict[str, Any] = {}

    def templates(self) -> dict[str, Any]:
        """The function's keyword arguments."""
        return {"input": self.input}


class ToolStep(Step, frozen=True, kw_only=True, tag="tool"):
    """Call a tool that the engine was given under this name; a document cannot name any other code with it."""

    tool: str
    input: dict[str, Any] = {}

    def templates(self) -> dict[str, Any]:
        """The tool's keyword arguments."""
        return {"input": self.input}


class ShellStep(Step, frozen=True, kw_only=True, tag="shell"):
    """Run a command without a shell; its standard output is the step's output, any exit code but 0 a failure.

    For a script write ["sh", "-c", "…"] and hand values over in `env`: a template inside a script is refused.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]
    env: dict[str, str] = {}
    stdin: str | None = None
    cwd: str | None = None
    output: Literal["text", "json"] = "text"

    def templates(self) -> dict[str, Any]:
        """The command and all that goes into it."""
        given = {"command": list(self.command), "env": self.env, "stdin": self.stdin, "cwd": self.cwd}
        return {name: value for name, value in given.items() if value}


class LLMStep(Step, frozen=True, kw_only=True, tag="llm"):
    """Ask a model over HTTP; its answer's text, or the JSON in it, is the step's output.

    endpoint    a name of one of the engine's endpoints
    options     further fields of the request, as the endpoint's API has them
    """

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    endpoint: str = "default"
    prompt: str | None = None
    system: str | None = None
    messages: tuple[Message, ...] = ()
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    stream: bool = False
    output: Literal["text", "json"] = "text"
    options: dict[str, Any] = {}

    def templates(self) -> dict[str, Any]:
        """What is asked."""
        messages = [{"role": message.role, "content": message.content} for message in self.messages]
        given = {"system": self.system, "messages": messages, "prompt": self.prompt, "options": self.options}
        return {name: value for name, value in given.items() if value}


AnyStep = PythonStep | ToolStep | ShellStep | LLMStep


class Workflow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Steps that run as soon as what they need is there, side by side.

    id           what its executions are found by; the name where there is none
    input        values that are there unless the execution is given others
    output       what the execution's output is made of; without it, the outputs of the steps nobody else needs
    onFailure    stop: begin no further step once one failed; continue: go on with what does not need it
    maxParallel  most steps at once
    timeout      seconds for the whole execution
    budget       what one execution may spend
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    schema: str | None = field(name="$schema", default=None)
    id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    description: str | None = None
    version: str | None = None
    input: dict[str, Any] = {}
    steps: Annotated[tuple[AnyStep, ...], Meta(min_length=1, max_length=1000)]
    output: Any = None
    on_failure: Literal["stop", "continue"] = "stop"
    max_parallel: Annotated[int, Meta(ge=1, le=256)] = 8
    timeout: Seconds | None = None
    budget: Limits | None = None

    @property
    def key(self) -> str:
        """What its executions are found by."""
        return self.id or self.name
