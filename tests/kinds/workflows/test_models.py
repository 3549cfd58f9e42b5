"""Asking models: both formats over real HTTP, retries, time-outs, usage and prices."""

from __future__ import annotations

import threading
import time

import pytest

from execlog.core.errors import SettingsError
from execlog.kinds.workflows.models.anthropic import AnthropicStream
from execlog.kinds.workflows.models.asking import ModelCallError, ModelTimeoutError, Question
from execlog.kinds.workflows.models.calling import ask
from execlog.kinds.workflows.models.endpoint import Endpoint, endpoints_of
from execlog.kinds.workflows.models.openai import OpenAIStream
from execlog.kinds.workflows.models.standin import Fault, StandIn
from execlog.kinds.workflows.models.standin_formats import tokens
from execlog.kinds.workflows.models.transport import retry_after
from execlog.kinds.workflows.models.usage import CallUsage
from execlog.kinds.workflows.steps.context import StepContext, StepStoppedError
from stopping import stopped_when_asked


class Host:
    """An execution that only listens."""

    id = "e"
    project_id = "p"

    def __init__(self):
        self.lines = []

    def log(self, message, level="info", *, item=None):
        self.lines.append((level, message))

    def spend(self, *args, **kwargs):
        raise AssertionError

    def check_budget(self, *args, **kwargs):
        raise AssertionError


@pytest.fixture
def model():
    with StandIn() as standin:
        yield standin


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def context(host):
    return StepContext(host, "s", 1, {})


@pytest.fixture(params=["openai", "anthropic"])
def api(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request):
    return request.param


def question(stream=False, **fields):
    messages = ({"role": "user", "content": "How are prices in Ulm? Wie geht's — 价格?"},)
    return Question(model="m", messages=messages, stream=stream, **fields)


def put(endpoint, asked, context, used=None, before=lambda: None):
    uses = used if used is not None else []
    answer = ask(endpoint, asked, context, before=before, used=lambda *use: uses.append(use), jitter=lambda: 0.0)
    return answer, uses


def test_an_answer_and_what_it_used(model, context, api, stream):
    asked = question(stream, system="Be brief.", max_tokens=50, temperature=0.5, options={"seed": 4})
    answer, used = put(Endpoint(api=api, base_url=model.url), asked, context)
    (request,) = model.asked
    assert answer.text.startswith("[stand-in, no model]")
    assert "价格" in answer.text
    assert answer.model == "m"
    assert answer.stop == {"openai": "stop", "anthropic": "end_turn"}[api]
    sent = tokens("Be brief.") + tokens(request.prompt)
    assert used == [(CallUsage(input=sent, output=tokens(answer.text)), "m")]
    assert (request.system, request.body["temperature"], request.body["seed"]) == ("Be brief.", 0.5, 4)
    assert request.body["max_tokens"] == 50
    # The second time the system text comes from the cache.
    _, again = put(Endpoint(api=api, base_url=model.url), asked, context)
    assert again[0][0] == CallUsage(input=sent, output=tokens(answer.text), cached=tokens("Be brief."))


def test_reasoning_is_part_of_the_output(model, context, api, stream):
    asked = Question(model="m-thinking", messages=({"role": "user", "content": "hm"},), stream=stream)
    answer, used = put(Endpoint(api=api, base_url=model.url), asked, context)
    assert (used[0][0].output, used[0][0].reasoning) == (tokens(answer.text) + 7, 7)


@pytest.mark.parametrize("suffix", ["", "/"])
def test_an_anthropic_address_may_have_its_version_or_not(model, context, suffix):
    for base in (model.url, model.url.removesuffix("/v1")):
        answer, _ = put(Endpoint(api="anthropic", base_url=base + suffix), question(), context)
        assert answer.text


def test_who_asks_is_said_as_each_format_says_it(context, monkeypatch):
    with StandIn(key="k-1") as model:
        for api, header in (("openai", "authorization"), ("anthropic", "x-api-key")):
            put(Endpoint(api=api, base_url=model.url, api_key="k-1", headers={"X-Team": "a"}), question(), context)
            headers = model.asked[-1].headers
            assert headers[header].endswith("k-1")
            assert headers["x-team"] == "a"
        monkeypatch.setenv("MY_KEY", "k-1")
        put(Endpoint(base_url=model.url, api_key_env="MY_KEY"), question(), context)
        monkeypatch.setenv("OPENAI_API_KEY", "k-1")
        # The provider's own key goes to the provider's own address, and nowhere else.
        with pytest.raises(ModelCallError, match="HTTP 401"):
            put(Endpoint(base_url=model.url), question(), context)
    assert "k-1" not in repr(Endpoint(base_url=model.url, api_key="k-1"))


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_what_may_pass_is_tried_again(model, context, host, api, stream, status):
    model.faults.extend([Fault(status=status, retry_after="0"), Fault(status=status, retry_after="0")])
    answer, used = put(Endpoint(api=api, base_url=model.url), question(stream), context)
    assert answer.text
    assert len(model.asked) == 3
    assert len(used) == 1
    assert [level for level, _ in host.lines] == ["warning", "warning"]
    assert f"HTTP {status}" in host.lines[0][1]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=400, message="max_tokens is too large"),
        Fault(status=401),
        Fault(status=404),
        Fault(status=422),
        Fault(status=429, code="insufficient_quota"),
    ],
)
def test_what_is_wrong_is_not_tried_again(model, context, fault):
    model.faults.append(fault)
    with pytest.raises(ModelCallError, match=f"HTTP {fault.status} .*: {fault.message}") as caught:
        put(Endpoint(base_url=model.url), question(), context)
    assert (caught.value.status, caught.value.retry) == (fault.status, False)
    assert len(model.asked) == 1


def test_retry_after_is_kept_to(model, context):
    model.faults.append(Fault(status=429, retry_after="0.3"))
    began = time.monotonic()
    put(Endpoint(base_url=model.url), question(), context)
    assert time.monotonic() - began >= 0.3


def test_a_wait_that_is_too_long_fails_the_call(model, context):
    model.faults.append(Fault(status=429, retry_after="3600"))
    with pytest.raises(ModelCallError, match="asks to wait 3600 s"):
        put(Endpoint(base_url=model.url), question(), context)
    assert len(model.asked) == 1


def test_tries_come_to_an_end(model, context):
    model.faults.extend([Fault(status=500, retry_after="0")] * 9)
    with pytest.raises(ModelCallError, match="HTTP 500"):
        put(Endpoint(base_url=model.url, retries=2), question(), context)
    assert len(model.asked) == 3


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_retry_after_is_read(said, seconds):
    assert retry_after(said, now=10.0) == seconds


def test_a_silent_endpoint_is_given_up(model, context, api):
    model.faults.append(Fault(hang=30))
    endpoint = Endpoint(api=api, base_url=model.url, timeout=0.2, retries=0)
    with pytest.raises(ModelTimeoutError, match=r"did not answer within 0.2 s") as caught:
        put(endpoint, question(), context)
    assert isinstance(caught.value, TimeoutError)


def test_a_stream_that_breaks_off_is_tried_again_and_what_it_used_is_counted(model, context, api):
    model.faults.append(Fault(break_after=5))
    answer, used = put(Endpoint(api=api, base_url=model.url, retries=1), question(stream=True), context)
    assert len(model.asked) == 2
    assert answer.text.startswith("[stand-in")
    if api == "anthropic":  # it says at the start what went in, and that was paid for
        assert [use.output for use, _ in used] == [1, tokens(answer.text)]
        assert used[0][0].input == used[1][0].input
    else:  # it would have said at the end what it used
        assert [use for use, _ in used] == [None, CallUsage(input=used[1][0].input, output=tokens(answer.text))]


def test_an_error_in_the_middle_of_a_stream(context, monkeypatch):
    from execlog.kinds.workflows.models import standin_formats

    def broken(body, text, usage):
        yield b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'

    monkeypatch.setattr(standin_formats, "_anthropic_events", broken)
    with StandIn() as model, pytest.raises(ModelCallError, match="Overloaded"):
        put(Endpoint(api="anthropic", base_url=model.url, retries=0), question(stream=True), context)


def test_nobody_there(context, free_port):
    with pytest.raises(ModelCallError, match=f"127.0.0.1:{free_port}: the connection broke") as caught:
        put(Endpoint(base_url=f"http://127.0.0.1:{free_port}/v1", retries=0), question(), context)
    assert caught.value.retry


def test_a_key_that_is_told_back_is_not_kept(model, context):
    model.faults.append(Fault(status=401, message="Incorrect API key provided: key-4711"))
    with pytest.raises(ModelCallError, match="provided: \\[redacted\\]"):
        put(Endpoint(base_url=model.url, api_key="key-4711", retries=0), question(), context)


def test_no_error_in_a_stream_is_none():
    stream = OpenAIStream()
    assert stream.take({"error": None, "choices": [{"delta": {"content": "hello"}}]}) is False
    assert stream.answer().text == "hello"


def test_somebody_else_there(context):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            data = {
                "/page/chat/completions": b"<html>hello",
                "/list/chat/completions": b"[]",
                "/sorry/chat/completions": b'{"error": {"message": "out of credit", "code": "insufficient_quota"}}',
            }.get(self.path, b"{}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        for path, said in (
            ("/page", "not JSON"),
            ("/list", "no JSON object"),
            ("/sorry", "out of credit"),
            ("", "no choices"),
        ):
            with pytest.raises(ModelCallError, match=said):
                put(Endpoint(base_url=base + path, retries=0), question(), context)
        with pytest.raises(ModelCallError, match="no content"):
            put(Endpoint(api="anthropic", base_url=base, retries=0), question(), context)
    finally:
        server.shutdown()
        server.server_close()


def test_a_call_ends_at_once_when_nobody_wants_it_any_more(model, context, stream):
    model.faults.append(Fault(hang=30))
    began = time.monotonic()
    with stopped_when_asked(context.stop, model.asked), pytest.raises(StepStoppedError, match="no more"):
        put(Endpoint(base_url=model.url), question(stream), context)
    assert time.monotonic() - began < 10


def test_a_stream_ends_at_once_when_nobody_wants_it_any_more(context, monkeypatch):
    take = AnthropicStream.take

    def take_and_stop(self, data):
        whole = take(self, data)
        context.stop.set("no more")
        return whole

    monkeypatch.setattr(AnthropicStream, "take", take_and_stop)
    with StandIn(lambda asked: "word " * 500, piece_delay=0.02) as model, pytest.raises(StepStoppedError):
        put(Endpoint(api="anthropic", base_url=model.url), question(stream=True), context, used := [])
    assert used[0][0].input > 0


def test_what_comes_before_a_try_may_keep_it_from_being_made(model, context):
    def never():
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        put(Endpoint(base_url=model.url), question(), context, before=never)
    assert model.asked == []


def test_endpoints_of_the_configuration(tmp_path):
    text = '[workflows.endpoints.local]\napi = "anthropic"\nbase_url = "http://localhost:1/"\ntimeout = 5\n'
    (tmp_path / "execlog.toml").write_text(text)
    assert endpoints_of(tmp_path)["local"].url == "http://localhost:1"
    (tmp_path / "execlog.toml").write_text('[workflows.endpoints.local]\nbase_url = "ftp://x"\n')
    with pytest.raises(SettingsError, match="base_url must be"):
        endpoints_of(tmp_path)
    assert endpoints_of(tmp_path / "none") == {}
