"""What providers really send, and what an engine makes of it: every answer that was paid for counts, whatever it is."""

from __future__ import annotations

import socket
import time
from decimal import Decimal

import pytest

from execlog.core.redact import Redactor
from execlog.kinds.workflows import Endpoint, ExecutionEngine, ExecutionHistoryService, Flow
from execlog.kinds.workflows.models.asking import Question
from execlog.kinds.workflows.models.openai import OpenAI
from servers import wait_until

from .provider_peer import HANG, RESET, USAGE, ProviderPeer, chunk, chunks, completion, events, message, typed, whole

TEXT = "Grüße 价格 🎉"


@pytest.fixture
def run(ledger, tariff):
    """Run one question to a peer: run(peer, "openai", stream=True, …) gives the execution."""

    def start(peer, api="openai", *, stream=False, retries=1, timeout=None, **fields):
        endpoint = Endpoint(api=api, base_url=peer.url, retries=retries, timeout=20)
        engine = ExecutionEngine(ledger, endpoints={"default": endpoint}, prices=tariff, jitter=lambda: 1.0)
        flow = Flow("w")
        flow.llm("a", model="m", prompt="x", stream=stream, timeout=timeout, **fields)
        return engine.start(flow)

    def finish(*args, **fields):
        return start(*args, **fields).wait(30)

    finish.start = start
    return finish


def counts(done):
    """Calls, tokens in and out, and cost."""
    used = (done.models or {}).get("m")
    return used and (used.calls, used.input, used.output, used.cost_usd)


ONCE = (1, 1000, 200, Decimal("0.0014"))


@pytest.mark.parametrize(
    "how",
    [{}, {"closes": True}, {"cut": 1}, {"newline": b"\r\n"}, {"cut": 3, "newline": b"\r\n"}],
    ids=["chunked", "closing", "byte by byte", "crlf", "crlf in threes"],
)
@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_stream_is_the_same_however_it_is_cut(run, api, how):
    said = {"openai": chunks, "anthropic": typed}[api]("Grüße ", "价格 ", "🎉")
    with ProviderPeer(events(b": OPENROUTER PROCESSING\n\n", *said, **how)) as peer:
        done = run(peer, api, stream=True)
    assert (done.output, counts(done), done.logs) == (TEXT, ONCE, ())


def test_of_several_answers_the_first_is_taken(run):
    mixed = [chunk(content="one"), chunk(content="two", index=1), chunk("stop", index=1), *chunks(" more")[1:]]
    with ProviderPeer(events(*mixed)) as peer:
        assert run(peer, stream=True, options={"n": 2}).output == "one more"


def test_a_step_whose_options_ask_for_a_stream_gets_one(run):
    with ProviderPeer(events(*chunks("fine"))) as peer:
        assert run(peer, options={"stream": True}).output == "fine"


@pytest.mark.parametrize(
    ("api", "answer", "why"),
    [
        ("openai", whole(completion(None, refusal="I'm sorry.")), "the model refused: I'm sorry."),
        (
            "openai",
            events(*chunks()[:1], chunk(refusal="I'm "), chunk(refusal="sorry."), *chunks()[1:]),
            "the model refused: I'm sorry.",
        ),
        ("openai", whole(completion("", "content_filter")), "a content filter withheld the answer"),
        ("openai", events(*chunks(stop="content_filter")), "a content filter withheld the answer"),
        ("openai", whole(completion() | {"choices": []}), "the answer has no choices"),
        ("openai", events(chunk(usage=USAGE), "[DONE]"), "the answer has no choices"),
        ("openai", whole(completion(None, "tool_calls", tool_calls=[{"id": "call_1"}])), "the model calls tools"),
        ("anthropic", whole(message("I'd rather", "refusal")), "the model refused: I'd rather"),
        ("anthropic", whole(message(stop="refusal", content=[])), "the model refused"),
        ("anthropic", events(*typed(stop="refusal")), "the model refused"),
        ("anthropic", whole(message(stop="tool_use", content=[{"type": "tool_use"}])), "the model calls tools"),
    ],
)
def test_what_is_no_answer_fails_the_step_at_once_and_is_paid_for(run, api, answer, why):
    with ProviderPeer(answer) as peer:
        done = run(peer, api, stream=True, retry={"attempts": 2, "delay": 0})
    assert done.status == "failed"
    assert done.error.startswith(f"step 'a': {why}")
    assert (counts(done), len(peer.asked)) == (ONCE, 1)


@pytest.mark.parametrize("stop", ["length", "content_filter"])
def test_an_answer_that_is_cut_off_is_taken_with_a_warning(run, stop):
    with ProviderPeer(whole(completion("half of", stop))) as peer:
        done = run(peer)
    assert (done.status, done.output, done.logs[0].level) == ("completed", "half of", "warning")
    assert done.logs[0].message.startswith("the answer is cut off: m ")
    assert Redactor().value(done.logs[0].message) == done.logs[0].message, "nothing in it looks like a secret"


@pytest.mark.parametrize(
    "end",
    [
        [RESET],
        [],
        [{"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}}],
        [chunk("error") | {"error": {"code": 502, "message": "Provider disconnected"}}],
    ],
    ids=["reset", "closed", "error", "error with a choice"],
)
def test_a_stream_that_ends_before_its_usage_counts_as_a_call_of_unknown_cost(run, end):
    with ProviderPeer(events(*chunks("Grü")[:2], *end), events(*chunks(TEXT))) as peer:
        done = run(peer, stream=True)
    assert (done.output, counts(done)) == (TEXT, (2, *ONCE[1:]))
    assert "m did not say how many tokens it used" in [line.message for line in done.logs]
    with ProviderPeer(events(*chunks("Grü")[:2], *end)) as peer:
        done = run(peer, stream=True, retries=0)
    assert (done.status, counts(done), done.cost_usd) == ("failed", (1, 0, 0, None), None)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([RESET], "the connection broke"),
        ([], "the connection broke"),
        ([whole(completion(TEXT))[0][:-40]], "the answer broke off in the middle"),
        (whole(completion(TEXT), Transfer_Encoding="chunked"), "the connection broke"),
        (whole(b'{"id": "chatcmpl-B9MB", "cho'), "the answer is not JSON"),
    ],
    ids=["reset", "closed", "cut", "cut in a chunk", "malformed"],
)
def test_a_whole_answer_that_does_not_come_whole_counts_as_a_call_of_unknown_cost(run, answer, why):
    with ProviderPeer(answer, whole(completion(TEXT))) as peer:
        done = run(peer)
    assert (done.output, counts(done)) == (TEXT, (2, *ONCE[1:]))
    assert "m did not say how many tokens it used" in [line.message for line in done.logs]
    with ProviderPeer(answer) as peer:
        done = run(peer, retries=0)
    assert why in done.error
    assert (counts(done), done.cost_usd, done.step("a").cost_usd) == ((1, 0, 0, None), None, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_not_waited_for_counts_as_one_of_unknown_cost(run, stream):
    with ProviderPeer([HANG]) as peer:
        late = run(peer, stream=stream, timeout=0.3)
        running = run.start(peer, stream=stream)
        wait_until(lambda: len(peer.asked) == 2, 10, "the question")
        running.cancel("enough")
        ended = running.wait(20)
    assert (late.status, counts(late), late.cost_usd) == ("failed", (1, 0, 0, None), None)
    assert (ended.status, counts(ended), ended.cost_usd) == ("cancelled", (1, 0, 0, None), None)


@pytest.mark.parametrize("status", [425, 501, 522, 524, 529])
def test_a_servers_own_trouble_is_waited_for(run, status):
    with ProviderPeer(whole(b"error code: 5xx", status, retry_after=0), whole(completion())) as peer:
        assert run(peer).status == "completed"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}},
            "no such model",
        ),
        ({"error": "no such model"}, "no such model"),
        ({"error": {"type": "not_found_error"}}, "not_found_error"),
        ({"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}, "no such model"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "model"], "msg": "größer"}]}, '[{"loc": ["body", "model"], "msg": "größer"}]'),
        ([{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}], "no such model"),
        ({"status": "broken"}, '{"status": "broken"}'),
        (b"<html>nothing here", "<html>nothing here"),
        ({}, "no reason given"),
        ([], "no reason given"),
        (b"", "no reason given"),
    ],
)
def test_why_a_server_refuses_is_said_wherever_it_says_it(run, body, why):
    with ProviderPeer(whole(body, 404)) as peer:
        assert run(peer).error == f"step 'a': HTTP 404 Said: {why}"


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        ({"code": 402, "message": "Insufficient credits"}, 1),
        ({"code": 403, "message": "flagged"}, 1),
        ({"code": 429, "message": "busy"}, 2),
        ({"code": "context_length_exceeded", "type": "invalid_request_error", "message": "too long"}, 1),
        ({"code": "insufficient_quota", "type": "insufficient_quota", "message": "no credit"}, 1),
        ({"code": None, "type": "server_error", "message": "oh"}, 2),
        ("busy", 2),
    ],
)
def test_an_error_in_an_answer_is_tried_again_where_that_may_help(run, error, tries):
    with ProviderPeer(whole({"error": error})) as peer:
        done = run(peer)
    assert done.error == f"step 'a': {error['message'] if isinstance(error, dict) else error}"
    assert (len(peer.asked), counts(done)) == (tries, None)


@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closing"])
def test_a_silent_stream_ends_at_once_when_it_is_cancelled(run, closes):
    with ProviderPeer(events(*typed("Grü")[:4], HANG, closes=closes)) as peer:
        running = run.start(peer, "anthropic", stream=True)
        wait_until(lambda: peer.asked, 10, "the question")
        time.sleep(0.1)  # until the answer began
        began = time.monotonic()
        running.cancel("enough")
        done = running.wait(20)
    assert time.monotonic() - began < 3
    assert (done.status, counts(done)) == ("cancelled", (1, 1000, 1, Decimal("0.001002")))
    assert done.logs == (), "nothing is said of a broken answer, nor of another try"


@pytest.mark.parametrize("optional", [False, True])
def test_what_a_call_used_that_took_too_long_counts(run, ledger, optional):
    with ProviderPeer(events(*typed("Grü")[:4], HANG)) as peer:
        done = run(peer, "anthropic", stream=True, timeout=0.3, optional=optional)
    assert (done.step("a").error, counts(done)) == (
        "it took longer than 0.3 s",
        (1, 1000, 1, Decimal("0.001002")),
    )
    assert done.step("a").token_usage.total == done.token_usage.total == 1001
    ledger.flush()
    assert ExecutionHistoryService(ledger).get_execution("default", done.id).to_dict() == done.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "`"}',
        ' \n{"a": "`"}\n',
        '```json\n{"a": "`"}\n```',
        '```{"a": "`"}```',
        'Here you are:\n\n```JSON\n{"a": "`"}\n```\nIs there anything else?',
    ],
)
def test_the_json_in_an_answer_is_found(run, text):
    with ProviderPeer(whole(completion(text))) as peer:
        assert run(peer, output="json").output == {"a": "`"}


@pytest.mark.parametrize("text", ["", "none", '{"a": 1} thanks', "```json\n{```", '```{"a": 1}``` or ```{"a": 2}```'])
def test_an_answer_without_json_fails_the_step_and_is_paid_for(run, text):
    with ProviderPeer(whole(completion(text))) as peer:
        done = run(peer, output="json")
    assert (done.status, done.error_type, counts(done)) == ("failed", "AnswerError", ONCE)


def test_half_a_character_in_a_prompt_is_asked_as_a_question_mark(ledger):
    with ProviderPeer(whole(completion())) as peer:
        flow = Flow("w")
        flow.llm("a", model="m", prompt="{{ input.text }}")
        engine = ExecutionEngine(ledger, endpoints={"default": Endpoint(base_url=peer.url)})
        assert engine.run(flow, {"text": "Gr\udcfc\udcdfe 价"}).output == "fine"
    assert peer.asked[0]["messages"] == [{"role": "user", "content": "Gr??e 价"}]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_query_of_the_address_goes_with_every_request(ledger, api):
    with ProviderPeer(whole({"openai": completion, "anthropic": message}[api]())) as peer:
        endpoint = Endpoint(api=api, base_url=f"{peer.url}?api-version=2024-10-21")
        flow = Flow("w")
        flow.llm("a", model="m", prompt="x")
        assert ExecutionEngine(ledger, endpoints={"default": endpoint}).run(flow).output == "fine"
    path = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[api]
    assert peer.paths == [f"{path}?api-version=2024-10-21"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("", "max_completion_tokens"),
        ("https://api.openai.com/v1/", "max_completion_tokens"),
        ("https://ours.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://localhost:8000/v1", "max_tokens"),
        ("https://openrouter.ai/api/v1", "max_tokens"),
    ],
)
def test_the_limit_of_an_answer_is_called_as_its_server_wants_it(address, name):
    question = Question(model="gpt-5", messages=(), max_tokens=50)
    body = OpenAI().body(question, Endpoint(base_url=address))
    assert body == {"model": "gpt-5", "messages": [], name: 50}


def test_an_error_says_what_happened_and_not_where_in_a_library(free_port, ledger):
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x")
    flow.shell("b", ["echo", "{{ input.none }}"], join="always")
    endpoint = Endpoint(base_url=f"http://127.0.0.1:{free_port}", retries=0)
    done = ExecutionEngine(ledger, endpoints={"default": endpoint}).run(flow)
    assert "Connection refused" in done.step("a").error
    assert "'dict object' has no attribute 'none'" in done.step("b").error
    assert not any("caused by" in step.error or "\n" in step.error for step in done.steps)


def test_a_server_that_cannot_be_reached_is_given_up_after_the_time_for_that(ledger):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # nobody else gets in
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            endpoint = Endpoint(base_url=url, connect_timeout=0.3, retries=0)
            flow = Flow("w")
            flow.llm("a", model="m", prompt="x")
            done = ExecutionEngine(ledger, endpoints={"default": endpoint}).run(flow)
    assert "did not answer within 0.3 s" in done.error
