"""How the client of servers takes failures and odd replies, against a small server that fails as told."""

import base64
import gzip
import json
import time
from contextlib import suppress

import pytest

from harness.engines.engine import StoppedError
from harness.engines.server_client import IN_A_ROW, LONGEST_ANSWER, retry_after
from harness.engines.server_engine import ServerEngine
from harness.errors import ExitCode, HarnessError
from harness.settings import ServerSettings
from tests.engines.small_server import (
    KEY,
    REFUSAL,
    VERDICT,
    Handler,
    Reply,
    answer,
    ask,
    make_model,
    prompt_of,
    serving,
)


@pytest.mark.parametrize("key", ["sk-ä", "a\nb"])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    with pytest.raises(HarnessError, match="API key holds a character") as error:
        make_model("http://127.0.0.1:1/v1", api_key=key)
    assert key not in str(error.value)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, {"error": {"message": "slow down"}}),
        Reply(503, b"loading"),
        Reply(200, b"<html>a proxy</html>", {"Content-Type": "text/html"}),
        Reply(200, b'{"choices": [{"mess'),
        Reply(200, b"\xff\xfe\xff"),
        Reply(200, []),
        Reply(200, {"error": {"message": "upstream"}}),
        Reply(200, {"choices": []}),
        Reply(200, {"choices": [{"message": "words"}]}),
        Reply(200, {"choices": [{"message": {"content": {"no": "text"}}}]}),
        answer()._replace(after=1.5),
        None,
    ],
    ids=[
        "429",
        "503",
        "html",
        "torn",
        "no-text",
        "list",
        "error-200",
        "no-choice",
        "words",
        "no-words",
        "late",
        "gone",
    ],
)
def test_what_may_pass_is_asked_again_and_else_an_error(reply: Reply | None) -> None:
    with serving(lambda body, before: answer() if before else reply) as server:
        model = make_model(server.url, timeout=0.5 if reply and reply.after else 5, max_retries=1)
        (result,) = ask(model)
        assert (result.text, result.error) == (VERDICT, None)
        assert len(server.asked) == 2
        server.reply = lambda body, before: reply
        server.asked.clear()
        (result,) = ask(model)
        assert len(server.asked) == 2
    assert result.text == ""
    assert result.error
    assert "\n" not in result.error


def test_errors_say_what_happened() -> None:
    replies = {
        "q0": Reply(500, {"error": {"message": "out of\nmemory"}}),
        "q1": answer()._replace(after=2),
        "q2": Reply(200, {"error": {"message": "upstream"}}),
        "q3": Reply(503, {"detail": "loading"}),
    }
    with serving(lambda body, before: replies[prompt_of(body)]) as server:
        memory, late, upstream, loading = (r.error for r in ask(make_model(server.url, timeout=1, max_retries=0), 4))
    assert memory == "500 out of memory"
    assert late == "no answer within 1 s"
    assert upstream.startswith("a reply that is no answer")
    assert "upstream" in upstream
    assert loading == "503 loading"


def test_waits_grow_and_obey_retry_after() -> None:
    def busy(body: dict, before: int) -> Reply:
        return Reply(429, {}, {"Retry-After": "0.5"}) if before == 0 else Reply(503, {}) if before < 3 else answer()

    with serving(busy) as server:
        (result,) = ask(make_model(server.url, max_retries=3, backoff=0.1))
    assert result.error is None
    first, second, third, fourth = (at for _, at in server.asked)
    # from half of a wait to the whole, beyond what the server asks for
    assert second - first >= 0.5 + 0.05
    assert third - second >= 0.1
    assert fourth - third >= 0.2


def test_a_server_that_asks_for_hours_has_failed_at_once() -> None:
    with serving(lambda body, before: Reply(429, {"error": {"message": "quota"}}, {"Retry-After": "86400"})) as server:
        (result,) = ask(make_model(server.url))
    assert result.error == "429 quota"
    assert len(server.asked) == 1


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("3") == 3
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9
    assert retry_after("soon") == retry_after(None) == retry_after("-1") == retry_after("nan") == 0


@pytest.mark.parametrize(("status", "fix"), [(401, "OPENAI_API_KEY"), (404, "model="), (418, "Mend --model-args")])
def test_what_the_user_must_mend_stops_at_once_and_answers_are_kept(status: int, fix: str, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    refusal = Reply(status, {"error": {"message": f"cannot do that\nwith {KEY}"}})
    with (
        serving(lambda body, before: refusal if prompt_of(body) == "q4" else answer()) as server,
        pytest.raises(StoppedError) as stopped,
    ):
        ask(make_model(server.url, concurrency=1), 9)
    why = stopped.value.why
    assert why.exit_code == ExitCode.USAGE
    assert f"{status}, cannot do that with [redacted]" in str(why)
    assert fix in str(why)
    assert [result and result.text for result in stopped.value.answers] == [VERDICT] * 4 + [None] * 5
    assert len(server.asked) == 5
    assert server.keys == {f"Bearer {KEY}"}


def test_a_server_that_only_fails_is_given_up() -> None:
    with serving(lambda body, before: Reply(500, {})) as server, pytest.raises(StoppedError) as stopped:
        ask(make_model(server.url, concurrency=2, max_retries=0), 50)
    assert stopped.value.why.exit_code == ExitCode.INCOMPLETE
    assert "--resume" in str(stopped.value.why)
    assert IN_A_ROW <= len(server.asked) <= IN_A_ROW + 1
    assert sum(result is not None for result in stopped.value.answers) == len(server.asked)


def test_a_server_that_is_not_there_is_said_at_the_start(monkeypatch) -> None:
    with serving(lambda body, before: answer()) as server:
        url = server.url
        server.list_models = Reply(404, {})
        make_model(url)
        server.list_models = Reply(401, {"error": {"message": "no key"}})
        with pytest.raises(HarnessError, match=r"401, no key.*OPENAI_API_KEY"):
            make_model(url)
    with pytest.raises(HarnessError, match=f"no server answers at {url}.*refused.*Start it"):
        make_model(url)


def test_a_server_that_refuses_everything_is_the_users_to_mend(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for questions in (4, 60):
        with serving(lambda body, before: REFUSAL) as server, pytest.raises(StoppedError) as stopped:
            ask(make_model(server.url, concurrency=1), questions)
        assert stopped.value.why.exit_code == ExitCode.USAGE
        assert "refuses model" in str(stopped.value.why)
        assert not any(stopped.value.answers)
        assert len(server.asked) == min(questions, IN_A_ROW)


def nested(depth: int) -> bytes:
    return b'{"choices": ' + b"[" * depth + b"]" * depth + b"}"


ODD = {
    "half a character": Reply(body=json.dumps(answer("\ud83d half an emoji").body).encode()),
    "a number of 5,000 digits": Reply(body=b'{"id": ' + b"9" * 5000 + b"}"),
    "a count of 5,000 digits": Reply(body=json.dumps(answer().body).replace("7", "9" * 5000).encode()),
    "nested without end": Reply(body=nested(200_000)),
    "too long an answer": answer("x" * (LONGEST_ANSWER + 1)),
    "too long a reply": Reply(body=b'{"choices": "' + b"x" * (2**25) + b'"}'),
    "a list": Reply(body=[]),
    "a text": Reply(body=b'"yes"'),
    "nothing": Reply(body=b""),
    "choices of nothing": Reply(body={"choices": [None]}),
    "a message that is a text": Reply(body={"choices": [{"message": "yes"}]}),
    "packed": Reply(body=gzip.compress(json.dumps(answer().body).encode()), headers={"Content-Encoding": "gzip"}),
    "an encoding of no text": Reply(500, b"zz", {"Content-Type": "text/plain; charset=hex"}),
    "millions of objects": Reply(body=b'{"choices": [' + b"{}," * 1_000_000 + b"{}]}"),
    "millions of lists": Reply(body=b'{"choices": [], "x": [' + b"[]," * 1_000_000 + b"[]]}"),
    "no UTF-8": Reply(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_reply_that_is_no_answer_costs_one_question_and_never_its_chunk(odd: str) -> None:
    with serving(lambda body, before: ODD[odd] if prompt_of(body) == "q4" else answer()) as server:
        answers = ask(make_model(server.url, max_retries=1, backoff=0.01), 9)
        assert len(server.asked) == 10
    assert [bool(each.error) for each in answers] == [place == 4 for place in range(9)]
    assert {each.text for each in answers if not each.error} == {VERDICT}
    assert len(answers[4].error) < 300
    assert answers[4].error.isprintable()


def test_a_server_that_dribbles_is_cut_off_when_its_time_is_over() -> None:
    """One byte in a while is no answer, though no single wait is long."""

    class Dribbling(Handler):
        def _send(self, reply: Reply) -> None:
            if reply.headers is None:
                return super()._send(reply)
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)
            self.close_connection = True
            return None

    slow = answer()._replace(headers={"X": "1"})
    with serving(lambda body, before: slow if prompt_of(body) == "q1" else answer()) as server:
        server.RequestHandlerClass = Dribbling
        started = time.monotonic()
        answers = ask(make_model(server.url, timeout=0.5, max_retries=1, backoff=0.01), 3)
        assert time.monotonic() - started < 5
    assert [each.error for each in answers] == [None, "no answer within 0.5 s", None]


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_key_is_not_shown_packed_either(shift: int, monkeypatch) -> None:
    key = "sk-do-not-tell-anybody-at-all"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    packed = base64.b64encode(b"x" * shift + key.encode() + b"yz").decode()
    with (
        serving(lambda body, before: Reply(418, {"error": {"message": f"I know {key} as {packed}"}})) as server,
        pytest.raises(StoppedError) as stopped,
    ):
        ask(make_model(server.url, concurrency=1), 1)
    told = str(stopped.value.why)
    assert key not in told
    assert packed[8:24] not in told


def test_who_logs_in_at_an_address_is_shown_in_no_message() -> None:
    settings = ServerSettings(base_url=["http://me:s3cret@127.0.0.1:9/v1?key=s3cret"], model="m")
    with pytest.raises(HarnessError) as refused:
        ServerEngine(settings)
    assert "no server answers at http://[redacted]@127.0.0.1:9/v1?key=[redacted]" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("body", [b"[" * 100_000, nested(100_000), b'{"data": [{"owned_by": {}}]}', b"\xff"])
def test_a_server_whose_list_of_models_is_odd_is_asked_all_the_same(body: bytes) -> None:
    with serving(lambda body, before: answer()) as server:
        server.list_models = Reply(body=body)
        (given,) = ask(make_model(server.url))
    assert given.text == VERDICT
