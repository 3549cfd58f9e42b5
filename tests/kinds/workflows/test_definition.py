"""Workflows as documents and in Python: what is taken, what is refused, and how clearly."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.errors import InvalidError, MissingExtraError
from execlog.kinds.workflows import Flow, parse_workflow, read_workflow
from execlog.kinds.workflows.definition import Workflow
from execlog.kinds.workflows.document import schema, workflow_of
from execlog.kinds.workflows.graph import graph_of, order_of
from execlog.kinds.workflows.template import as_text, holds, references, resolve

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "reference" / "workflow.schema.json"


def workflow(*steps, **fields):
    """A workflow of shell steps, given as (id, needs…), or of steps as they are."""
    plain = [step if isinstance(step, dict) else shell(step[0], needs=list(step[1:])) for step in steps]
    return workflow_of({"name": "w", "steps": plain, **fields})


def shell(step_id, **fields):
    return {"id": step_id, "type": "shell", "command": ["true"], **fields}


def test_the_published_schema_is_the_one_of_the_code():
    assert COMMITTED.read_bytes() == schema(), "write it anew: python -m execlog.kinds.workflows.document"


def test_the_schema_says_what_the_code_takes():
    validator = jsonschema_rs.validator_for(json.loads(schema()))
    good = {
        "name": "report",
        "input": {"year": 2004},
        "budget": {"maxCostUSD": 0.5, "maxTokens": 1000},
        "steps": [
            {"id": "load", "type": "python", "function": "prices:load", "retry": {"attempts": 3}},
            {"id": "ask", "type": "llm", "model": "m", "prompt": "{{ steps.load.output }}", "maxTokens": 5},
            {"id": "mail", "type": "tool", "tool": "mail", "input": {"to": "x"}, "optional": True, "join": "any"},
            {"id": "list", "type": "shell", "command": ["ls"], "timeout": 2.5},
        ],
    }
    assert validator.is_valid(good)
    assert isinstance(workflow_of(good), Workflow)
    for step in ({"id": "a b"}, {"type": "magic"}, {"timeout": 0}, {"retry": {"attempts": 0}}, {"colour": "red"}):
        bad = good | {"steps": [good["steps"][0] | step]}
        assert not validator.is_valid(bad), step
        with pytest.raises(InvalidError):
            workflow_of(bad)


def test_the_example_follows_the_schema():
    example = ROOT / "examples" / "workflows" / "ticket.yaml"
    assert jsonschema_rs.validator_for(json.loads(schema())).is_valid(yaml.safe_load(example.read_text()))
    assert graph_of(read_workflow(example)).leaves == ("tell", "count_words")


def test_json_and_yaml_mean_the_same(tmp_path):
    text = """
name: report
input: {day: 2004-01-02, yes: maybe, sure: true}
steps:
  - id: ask
    type: llm
    model: gpt-4o-mini
    prompt: |
      What of {{ input.day }}?
"""
    path = tmp_path / "report.yaml"
    path.write_text(text)
    from_yaml = read_workflow(path)
    assert from_yaml.input["day"] == "2004-01-02"
    as_json = tmp_path / "report.json"
    as_json.write_text(
        json.dumps(
            {
                "name": "report",
                "input": {"day": "2004-01-02", "yes": "maybe", "sure": True},
                "steps": [{"id": "ask", "type": "llm", "model": "gpt-4o-mini", "prompt": "What of {{ input.day }}?\n"}],
            }
        )
    )
    assert read_workflow(as_json) == from_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("name: a\nname: b", "name stands twice"),
        ("name: [", "not YAML"),
        ("name: x\nsteps: []", "steps"),
        ("!!python/object/apply:os.system [echo]", "not YAML"),
        ("name: x\nsteps:\n  - {id: load, type: shell, command: [ls], nope: 1}", "step 'load'"),
    ],
)
def test_yaml_that_is_refused(text, said):
    with pytest.raises(InvalidError, match=said.replace("(", r"\(")):
        parse_workflow(text, form="yaml")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "type: llm, model: m, prompt: x, max_tokens: 5",
            "unknown field `max_tokens`; did you mean `maxTokens`? - at `$.s",
        ),
        ("type: llm, model: m, promt: x", "unknown field `promt`; did you mean `prompt`? - at `$.steps[0]` (step 'a')"),
        ("type: shell, command: [ls], colour: red", "unknown field `colour` - at"),
        (
            "type: llm, model: m, prompt: x, maxTokens: many",
            "Expected `int | null`, got `str` - at `$.steps[0].maxTokens`",
        ),
        (
            "type: shell, command: [ls], timeout: 5m",
            "Expected `float | null`, got `str` (Seconds) - at `$.steps[0].timeout`",
        ),
        (
            "type: shell, command: [ls], needs: [b-1]",
            "Expected Letters, digits and _, no digit first: load_prices - at",
        ),
        (
            "type: http, command: [ls]",
            "'http'; it is one of python, tool, shell, llm - at `$.steps[0].type` (step 'a')",
        ),
        ("type: shell, command: [ls, ], timeout: [", "doc.yaml: not YAML: while parsing a flow node"),
    ],
)
def test_an_error_names_the_place_and_what_would_fit(step, said):
    text = f"name: x\nsteps:\n- {{id: a, {step}}}\n"
    with pytest.raises(InvalidError, match=r"^doc\.yaml: ") as caught:
        parse_workflow(text, form="yaml", where="doc.yaml")
    assert said in str(caught.value)
    assert "byte string" not in str(caught.value)


def test_another_form_is_refused():
    with pytest.raises(InvalidError, match="json or yaml, not 'toml'"):
        parse_workflow("{}", form="toml")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_mark_that_some_editors_begin_a_file_with_is_no_fault(form):
    text = '\ufeff{"name": "w", "steps": [{"id": "a", "type": "shell", "command": ["true"]}]}'
    assert parse_workflow(text, form=form).name == "w"


@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff", b"null", b"[" * 100_000, b" " * 2_000_000])
def test_json_that_is_none_is_refused(data):
    with pytest.raises(InvalidError):
        parse_workflow(data)


def test_without_the_extra_the_error_names_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"execlog\[yaml\]"):
        parse_workflow("name: x", form="yaml")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("a",), ("a",)], "step 'a': another step has the same id"),
        ([("a", "b")], "step 'a': it needs 'b', which is no step"),
        ([("a", "a")], "step 'a': it needs itself"),
        ([("a", "c"), ("b", "a"), ("c", "b")], "a → b → c → a|b → c → a → b|c → a → b → c"),
        ([shell("a", command=["echo", "{{ steps.ghost.output }}"])], "step 'a': it needs 'ghost'"),
        ([shell("a", command=["echo", "{{ steps.a.output }}"])], "step 'a': it needs itself"),
        ([shell("a", command=["echo", "{{ broken"])], "step 'a': command: template"),
        ([shell("a", command=["echo", "{{ secret }}"])], "step 'a': command: .* speaks of secret"),
        ([shell("a", command=["echo", "{{ input.x|nofilter }}"])], "step 'a': command: .*nofilter"),
        ([shell("a", command=["echo", "{{ steps[input.x].output }}"])], "step 'a': .*name the step"),
        ([shell("a", command=["echo", "{% include 'x' %}"])], "step 'a': .*cannot be taken in"),
        ([shell("a", when="steps.ghost.output")], "step 'a': it needs 'ghost'"),
        ([shell("a", when="1 +")], "step 'a': when: "),
        ([shell("a", command=["sh", "-c", "echo {{ input.x }}"])], "step 'a': a template in a shell's script"),
        ([shell("a", command=["/bin/bash", "-c", "{{ input.x }}"])], "step 'a': a template in a shell's script"),
        (
            [shell("a", command=["timeout", "5", "sh", "-ec", "{{ input.x }}"])],
            "step 'a': a template in a shell's script",
        ),
        ([{"id": "a", "type": "llm", "model": "m"}], "step 'a': it asks nothing"),
    ],
)
def test_what_cannot_run_is_refused_by_the_steps_name(steps, said):
    with pytest.raises(InvalidError, match=said):
        graph_of(workflow(*steps))


def test_an_output_of_a_step_that_is_not_there_is_refused():
    with pytest.raises(InvalidError, match="output: 'b' is no step"):
        graph_of(workflow(("a",), output="{{ steps.b.output }}"))


def test_templates_make_steps_wait():
    graph = graph_of(
        workflow(
            shell(
                "last", command=["echo", "{{ steps.one.output }}{{ steps['two'].output }}"], when="steps.three.output"
            ),
            ("two",),
            ("one", "two"),
            ("three",),
        )
    )
    assert graph.needs["last"] == ("two", "one", "three")
    assert graph.order == ("two", "one", "three", "last")
    assert graph.leaves == ("last",)


def test_a_flow_is_the_workflow_it_writes():
    flow = Flow("report", on_failure="continue", input={"n": 1}, budget={"max_cost_usd": 0.5, "max_tokens": 9})
    flow.python("load", len, input={"obj": "{{ input.n }}"}, retry={"attempts": 2, "max_delay": 1})
    flow.llm("ask", model="m", prompt="{{ steps.load.output }}", max_tokens=7)
    flow.shell("say", ["echo", "hello"], needs=["load"])
    flow.tool("mail", "smtp", needs=("ask",))
    written = flow.workflow
    assert [step.id for step in written.steps] == ["load", "ask", "say", "mail"]
    assert written.steps[0].retry.max_delay == 1
    assert (written.budget.max_cost_usd, written.budget.max_tokens) == (0.5, 9)
    assert flow.functions == {"builtins:len": len}
    with pytest.raises(InvalidError, match="step 'x'"):
        flow.shell("x", [])


def test_functions_of_one_name_are_told_apart():
    def make(number):
        def step():
            return number

        return step

    flow = Flow("w")
    flow.python("a", make(1))
    flow.python("b", make(2))
    names = [step.function for step in flow.workflow.steps]
    assert [flow.functions[name]() for name in names] == [1, 2]


NAMES = {
    "input": {"items": [1, 2], "city": "Ulm"},
    "steps": {"load": {"output": {"keys": 3, "text": "<b>"}, "status": "completed"}},
    "execution": {"id": "e"},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ input.items }}", [1, 2]),
        (" {{ steps.load.output.keys + 1 }}\n", 4),
        ("{{ steps.load.output }}", {"keys": 3, "text": "<b>"}),
        ("to {{ input.city }}: {{ steps.load.output.text }}", "to Ulm: <b>"),
        ("{% for n in input['items'] %}{{ n }};{% endfor %}", "1;2;"),
        ({"a": ["{{ input.city }}", 1, None]}, {"a": ["Ulm", 1, None]}),
        ("no template", "no template"),
        ("{{ input.city }}{{ execution.id }}", "Ulme"),
        ("{{ '{{ input.city }}' }}", "{{ input.city }}"),
    ],
)
def test_templates(template, value):
    assert resolve(template, NAMES) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"ö": [1, None, True, 2.5, "a'b"]}, '{"ö": [1, null, true, 2.5, "a\'b"]}'),
        ((1, "2"), '[1, "2"]'),
        ({"on": date(2024, 1, 2), "of": {Decimal("1.10")}}, '{"on": "2024-01-02", "of": ["1.10"]}'),
        (None, "null"),
        (True, "true"),
        (21.0, "21.0"),
        (2**70, str(2**70)),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02T03:04:00Z"),
        (Decimal("1.10"), "1.10"),
        (b"caf\xc3\xa9", "café"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_a_value_is_the_same_text_alone_and_within_one(value, text):
    names = NAMES | {"input": {"x": value}}
    assert resolve("<{{ input.x }}>", names) == f"<{text}>"
    assert as_text(resolve("{{ input.x }}", names)) == text


def test_a_constant_that_cannot_be_written_is_refused():
    with pytest.raises(InvalidError, match="4300 digits"):
        graph_of(workflow(shell("a", command=["echo", "{{ 10 ** 5000 }}"])))


@pytest.mark.parametrize(
    "template",
    [
        "{{ input.none }}",
        "x {{ input.none }}",
        "{{ input.items.append(1) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ input.__init__.__globals__ }}",
        "{{ 1 / 0 }}",
        "{{ steps.load.output.text + 1 }}",
    ],
)
def test_templates_that_cannot_be_resolved_are_the_callers_error(template):
    with pytest.raises(InvalidError):
        resolve(template, NAMES)


def test_data_is_not_taken_for_a_template():
    names = NAMES | {"input": {"x": "{{ steps.load.output }}"}}
    assert resolve("{{ input.x }}", names) == "{{ steps.load.output }}"
    assert resolve("a {{ input.x }}", names) == "a {{ steps.load.output }}"


def test_conditions():
    assert holds("steps.load.output['keys'] > 2 and steps.load.status == 'completed'", NAMES)
    assert not holds("{{ input.city == 'Bonn' }}", NAMES)


graphs = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=4), min_size=size, max_size=size)
)


@given(graphs)
def test_every_step_comes_after_what_it_needs_or_a_cycle_is_named(edges):
    needs = {f"s{number}": tuple(f"s{before}" for before in sorted(wanted)) for number, wanted in enumerate(edges)}
    try:
        order = order_of(needs)
    except InvalidError as error:
        cycle = str(error).rpartition(": ")[2].split(" → ")
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        # Each is needed by the one after it.
        for before, after in pairwise(cycle):
            assert before in needs[after]
    else:
        assert sorted(order) == sorted(needs)
        place = {step: number for number, step in enumerate(order)}
        assert all(place[before] < place[step] for step, wanted in needs.items() for before in wanted)


@given(st.lists(st.sets(st.integers(0, 20), max_size=5), min_size=1, max_size=20), st.randoms())
def test_the_order_does_not_depend_on_how_needs_are_written(edges, rng):
    needs = {number: [before for before in wanted if before < number] for number, wanted in enumerate(edges)}
    written = {f"s{number}": [f"s{before}" for before in wanted] for number, wanted in needs.items()}
    shuffled = {step: rng.sample(wanted, len(wanted)) for step, wanted in written.items()}
    assert order_of(written) == order_of(shuffled)


@given(st.text(max_size=60))
def test_any_text_is_a_template_or_refused(text):
    try:
        references(text)
    except InvalidError:
        return
    try:
        resolve(text, NAMES)
    except InvalidError:
        return


def test_a_step_of_an_unknown_type_says_which_types_there_are():
    with pytest.raises(InvalidError, match=r"it is one of python, tool, shell, llm - at .*\(step 'a'\)"):
        parse_workflow('{"name": "w", "steps": [{"id": "a", "type": "command", "command": "true"}]}')
