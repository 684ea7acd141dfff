"""Streams of real servers of every version, edits, errors, and ends that are none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import (
    GatewayError,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
)
from dragoman.canonical.events import Event, Finished, Start
from dragoman.canonical.response import FinishReason
from dragoman.canonical.signature import Origin
from dragoman.protocols.gradio import PROTOCOL
from dragoman.protocols.gradio.diff import apply, are_edits
from dragoman.protocols.gradio.errors import again_in, clean, decode_error, job_error
from tests.protocols.answer_strategies import splits
from tests.protocols.gradio_support import (
    FIXTURES,
    ORIGIN,
    answer_of,
    deltas,
    event,
    events_of,
    parts_of,
    queue,
    recorded,
)
from tests.protocols.mutations import damaged

STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))
ECHO = ["You ", "said: ", "hi ", "there ", "(turns ", "0) "]
QUOTA = "You have exceeded your GPU quota (60s requested vs. 41s left). Try again in 1:02:03"


@pytest.mark.parametrize("name", ["4.9-echo.sse", "4.19-echo.sse", "6.31-echo.sse"])
def test_every_dialect_of_the_queue_streams(name: str) -> None:
    """Whole texts (sse_v1), edits (sse_v2) and their newest form."""
    assert deltas(events_of([recorded(name)])) == ECHO


def test_the_simple_api_streams() -> None:
    assert deltas(events_of([recorded("6.31-echo-simple.sse")])) == ECHO


@pytest.mark.parametrize("name", ["4.9-bot.sse", "4.19-bot.sse", "5.49-bot.sse"])
def test_a_chat_history_grows_by_its_last_answer(name: str) -> None:
    assert deltas(events_of([recorded(name)])) == ["I ", "am ", "a ", "bot "]


def test_thoughts_are_apart() -> None:
    events = events_of([recorded("6.31-thinks.sse")])
    assert deltas(events) == ["Hmm ", "let ", "me ", "see.", "The ", "answer ", "is ", "4."]
    thought, text = parts_of(collect(events))
    assert (thought, text) == (("thought", "Hmm let me see."), ("text", "The answer is 4."))


def test_an_app_that_does_not_stream() -> None:
    assert answer_of(recorded("6.31-plain.sse")) == [("text", "X0.5")]


@pytest.mark.parametrize("name", ["4.44-fail.sse", "6.31-fail.sse", "6.31-fail-simple.sse"])
@pytest.mark.row("S0-46")
def test_a_quota_that_is_used_up(name: str) -> None:
    with pytest.raises(UpstreamRateLimited) as caught:
        events_of([recorded(name)])
    assert QUOTA in caught.value.message
    assert caught.value.status == 429
    assert caught.value.retry_after == 3723


def test_the_simple_api_of_version_5_keeps_errors_to_itself() -> None:
    """The reason why jobs go into the queue."""
    with pytest.raises(UpstreamFailed, match="does not say why"):
        events_of([recorded("5.49-fail-simple.sse")])


def outcome(chunks: Iterable[bytes], *, whole: bool = False) -> tuple[list[Event], str]:
    """Events until an error, and that error."""
    make = PROTOCOL.whole_decoder if whole else PROTOCOL.stream_decoder
    assert make is not None
    decoder = make(ORIGIN)
    events: list[Event] = []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.finish()
    except GatewayError as error:
        return events, repr(error)
    return events, ""


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_any_split_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    wire = recorded(name)
    split, error = outcome(data.draw(splits(wire)))
    one_by_one, same = outcome(wire[at : at + 1] for at in range(len(wire)))
    assert error == same
    if not error:  # an error takes with it what came in the same chunk
        assert split == one_by_one
        assert (split, "") == outcome([wire])
        assert (split, "") == outcome([wire.replace(b"\n", b"\r\n")])


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_a_cut_stream_never_looks_whole(name: str, data: st.DataObject) -> None:
    wire = recorded(name)
    # After the last word nothing more is needed: the queue says good-bye, that is all.
    last = max(wire.rfind(b"process_completed"), wire.rfind(b"event: complete"))
    cut = data.draw(st.integers(0, max(last, 0)))
    events, error = outcome([wire[:cut]])
    assert error
    assert not any(isinstance(one, Finished) for one in events)


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_damaged_streams_raise_nothing_strange(name: str, data: st.DataObject) -> None:
    outcome(data.draw(splits(data.draw(damaged(recorded(name))))))


def test_an_answer_begins_and_ends() -> None:
    events = events_of([queue(["Hi"])])
    assert isinstance(events[0], Start)
    assert events[0].model == ORIGIN.model
    assert isinstance(events[-1], Finished)
    assert events[-1].finish.reason is FinishReason.STOP
    empty = events_of([queue([None])])
    assert [type(one) for one in empty] == [Start, Finished]


def test_a_servers_address_is_not_the_models_name() -> None:
    decoder = PROTOCOL.stream_decoder(Origin("gradio", "gradio", "http://10.0.0.7:7860"))
    (start, *_) = decoder.feed(queue(["Hi"]))
    assert start == Start(model="")


def test_nothing_is_read_past_the_end() -> None:
    assert answer_of(queue(["Hi"]) + queue(["Ho"])) == [("text", "Hi")]


def test_a_whole_answer_is_read_from_its_stream() -> None:
    response = PROTOCOL.decode_response(queue(["Wait…"], ["Hi"]), ORIGIN)
    assert parts_of(response) == [("text", "Hi")]


@pytest.mark.parametrize(
    ("value", "edits", "result"),
    [
        ("a", [["append", [], "b"]], "ab"),
        ("a", [["replace", [], None]], None),
        (["a"], [["append", [0], "b"], ["add", [1], "c"], ["add", [0], "d"]], ["d", "ab", "c"]),
        ({"x": ["a", "b"]}, [["delete", ["x", 0], None], ["add", ["y"], 1]], {"x": ["b"], "y": 1}),
        ({"x": 1}, [["delete", ["x"], None]], {}),
        ("a", [], "a"),
    ],
)
def test_edits(value: Any, edits: list[Any], result: Any) -> None:
    assert are_edits(edits)
    assert apply(value, edits) == result


@pytest.mark.parametrize(
    "edits",
    [
        [["append", [], 1]],
        [["append", [9], "x"]],
        [["delete", ["x"], None]],
        [["replace", [0, 0, 0], "x"]],
        [["append", [{}], "x"]],
        [["add", [[]], "x"]],
    ],
)
def test_edits_that_do_not_fit(edits: list[Any]) -> None:
    assert are_edits(edits)
    for value in ("a", ["a"], None):
        with pytest.raises(UpstreamBroken, match="do not fit"):
            apply(value, edits)


@pytest.mark.parametrize(
    "value", ["append", ["append", [], "x"], [["append", "x"]], [["x", [], 1]]]
)
def test_what_are_no_edits(value: Any) -> None:
    assert not are_edits(value)


@pytest.mark.parametrize(
    ("message", "kind", "status"),
    [
        (QUOTA, UpstreamRateLimited, 429),
        ("You have reached your ZeroGPU runs limit", UpstreamRateLimited, 429),
        ("429 Client Error: Too Many Requests", UpstreamRateLimited, 429),
        ("Queue is full. Max size is 1 and size is 1.", UpstreamOverloaded, 503),
        ("No GPU was available after 60s. Retry later", UpstreamOverloaded, 503),
        ("Expired ZeroGPU proxy token", UpstreamOverloaded, 503),
        ("Value 9 is greater than maximum value 1.", UpstreamRejected, 400),
        ("Value: x is not in the list of choices: []", UpstreamRejected, 400),
        ("Invalid file type. Please upload a file", UpstreamRejected, 400),
        ("CUDA out of memory", UpstreamFailed, 500),
        (None, UpstreamFailed, 500),
        ({"x": 1}, UpstreamFailed, 500),
    ],
)
def test_an_apps_words_tell_what_is_wrong(message: Any, kind: type[Any], status: int) -> None:
    error = job_error(message)
    assert type(error) is kind
    assert error.status == status


@pytest.mark.row("S0-48")
def test_an_inference_failure_is_500_and_not_repeated_at_once() -> None:
    wire = event({"msg": "process_completed", "output": {"error": None}, "success": False})
    with pytest.raises(UpstreamFailed) as caught:
        events_of([wire])
    assert caught.value.status == 500
    assert caught.value.upstream_status is None


def test_a_warning_before_a_silent_failure_is_passed_on() -> None:
    warning = {"msg": "log", "level": "warning", "log": "The model is <b>too large</b>."}
    failure = {"msg": "process_completed", "output": {"error": None}, "success": False}
    with pytest.raises(UpstreamFailed, match=r"^The model is too large\.$"):
        events_of([event(warning) + event(failure)])


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (event({"msg": "unexpected_error", "message": "Session not found"}), UpstreamFailed),
        (event({"msg": "server_stopped", "success": False}), UpstreamOverloaded),
        (event({"msg": "queue_full"}), UpstreamOverloaded),
        (b"event: error\ndata: null\n\n", UpstreamFailed),
        (b'event: error\ndata: "Server stopped unexpectedly."\n\n', UpstreamOverloaded),
        (event({"msg": "process_generating", "output": {}, "success": False}), UpstreamFailed),
        (event({"msg": "process_completed", "output": {}, "success": True}), UpstreamBroken),
        (event({"msg": "process_completed", "output": [], "success": True}), UpstreamBroken),
        (b"data: []\n\n", UpstreamBroken),
        (b"data: {\n\n", UpstreamBroken),
        (event({"msg": "heartbeat"}), UpstreamBroken),
        (b"", UpstreamBroken),
    ],
)
def test_ends_that_are_none(wire: bytes, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind):
        events_of([wire])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (QUOTA, 3723),
        ("retry in 0:00:30", 30),
        ("Try again in 1 day, 2:03:04", 93784),
        ("Try again in 12 days, 0:00:01", 1036801),
        ("at 12:30", None),
        ("soon", None),
    ],
)
def test_when_to_try_again(text: str, seconds: float | None) -> None:
    assert again_in(text) == seconds


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('Quota. <a href="https://x.test">Sign up</a>\n now', "Quota. Sign up now"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;ok", "alert(1)ok"),
        ("<!DOCTYPE html><html><body>502</body></html>", ""),
        ("'quoted'", "quoted"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("x" * 900, "x" * 500),
        ("bad token hf_abcdefghijklmnop", "bad token ***"),
        (None, ""),
        (["x"], ""),
    ],
)
def test_texts_are_passed_on_without_markup(text: Any, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (503, b'{"detail":"Queue is full."}', UpstreamOverloaded, 503),
        (503, b"<html>sleeping</html>", UpstreamOverloaded, 503),
        (429, b'{"error":"Too many"}', UpstreamRateLimited, 429),
        (422, b'{"detail":[{"msg":"Field required"},{"msg":"No"}]}', UpstreamRejected, 422),
        (400, b'{"detail":"No function"}', UpstreamRejected, 400),
        (401, b'{"detail":"Not authenticated"}', UpstreamRefusedCredential, 502),
        (404, b"Not found", UpstreamFailed, 502),
        (500, b"", UpstreamFailed, 502),
    ],
)
def test_refused_calls(status: int, body: bytes, kind: type[UpstreamError], told: int) -> None:
    error = decode_error(status, {"retry-after": "9"}, body)
    assert type(error) is kind
    assert (error.status, error.upstream_status) == (told, status)
    assert "<" not in error.message
    if kind in (UpstreamOverloaded, UpstreamRateLimited):
        assert error.retry_after == 9


def test_what_an_apps_check_found_wrong_is_told() -> None:
    body = json.dumps({"detail": [{"is_valid": False, "message": "Too long"}]}).encode()
    assert decode_error(422, {}, body).message == "Too long"


@given(text=st.text(max_size=40))
@example(text="\x00\x1f\x7f\u2028")
def test_any_text_can_be_passed_on(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(character) < 32 for character in cleaned)
