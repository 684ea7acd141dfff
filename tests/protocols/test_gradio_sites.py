"""What a Gradio server says of itself: every version's form, which endpoint chats, and lies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import GatewayError, UpstreamBroken, UpstreamMisconfigured
from dragoman.protocols.gradio.endpoint import choose
from dragoman.protocols.gradio.roles import is_chat, roles_of
from dragoman.protocols.gradio.site import read_config, read_site
from tests.protocols.gradio_support import BASE, door, made_door, made_site, recorded, site
from tests.protocols.mutations import spoiled

FULL = {  # role → argument, of the app with a system prompt and sliders
    "message": "message",
    "system": "system_message",
    "max_output_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "repetition_penalty": "repetition_penalty",
}
TEXTBOX = {"parameter_name": "message"}


def named(name: str, api_name: str = "") -> dict[str, str]:
    chosen = door(name, api_name)
    return {role: chosen.slots[index].key for role, index in roles_of(chosen).items()}


@pytest.mark.parametrize("version", ["4.44", "5.49", "6.31"])
def test_the_arguments_of_a_chat_with_sliders(version: str) -> None:
    assert named(f"{version}-full") == FULL


@pytest.mark.parametrize("version", ["4.9", "4.19"])
def test_before_arguments_had_names_their_labels_tell(version: str) -> None:
    assert named(f"{version}-full") == {
        "message": "message",
        "system": "system_message",
        "max_output_tokens": "max_new_tokens",
        "temperature": "temperature",
    }


@pytest.mark.parametrize(
    ("name", "prefix", "cancel", "endpoint"),
    [
        ("4.9-full", "", "/reset", "/chat"),
        ("4.19-full", "", "/reset", "/chat"),
        ("4.44-full", "", "/cancel", "/chat"),
        ("5.49-full", "/gradio_api", "/cancel", "/chat"),
        ("6.31-full", "/gradio_api", "/cancel", "/full"),  # named after its function
        ("6.31-plain", "/gradio_api", "/cancel", "/generate"),
    ],
)
def test_every_version_is_understood(name: str, prefix: str, cancel: str, endpoint: str) -> None:
    known = site(name)
    assert (known.prefix, known.cancel, known.queued) == (prefix, cancel, True)
    assert choose(known).name == endpoint


@pytest.mark.parametrize("version", ["4.9", "4.19", "4.44", "5.49", "6.31"])
def test_what_the_server_keeps_for_itself_has_a_place_in_the_call(version: str) -> None:
    """The second input of a chat is the session's history, of which /info says nothing."""
    slots = door(f"{version}-full").slots
    assert [slot.hidden for slot in slots[:3]] == [False, True, False]


@pytest.mark.parametrize("version", ["4.44", "6.31"])
def test_a_message_with_files_is_told_from_a_text(version: str) -> None:
    assert door(f"{version}-multi").slots[0].multimodal
    assert not door(f"{version}-full").slots[0].multimodal


@pytest.mark.parametrize(
    ("name", "messages"), [("4.19-bot", "pairs"), ("5.49-bot", "text"), ("6.31-bot", "parts")]
)
def test_histories_of_pairs_are_told_from_those_of_messages(name: str, messages: str) -> None:
    chosen = door(name, "respond")
    history = chosen.slots[roles_of(chosen)["history"]]
    assert (history.component, history.messages) == ("chatbot", messages)


def test_an_endpoint_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(UpstreamMisconfigured) as caught:
        choose(site("6.31-bot"), "talk")
    assert "'/talk'" in caught.value.message
    assert "/add_user, /respond" in caught.value.message
    assert caught.value.status == 400


def test_several_chats_are_not_guessed_among() -> None:
    with pytest.raises(UpstreamMisconfigured, match="/add_user, /respond"):
        choose(site("6.31-bot"))
    assert choose(site("6.31-bot"), "/respond").name == "/respond"


def test_an_app_that_draws_is_no_chat() -> None:
    drawing = made_site({"infer": ([{"parameter_name": "prompt"}], "Image")})
    with pytest.raises(UpstreamMisconfigured) as caught:
        choose(drawing)
    assert caught.value.code == "endpoint_no_chat"
    assert "/infer" in caught.value.message
    with pytest.raises(UpstreamMisconfigured, match="is no chat"):
        choose(drawing, "infer")


def test_an_app_without_any_endpoint_says_so() -> None:
    with pytest.raises(UpstreamMisconfigured, match="none at all"):
        choose(made_site({}))


def test_chat_is_chosen_among_several() -> None:
    several = made_site({"one": ([TEXTBOX], "Textbox"), "chat": ([TEXTBOX], "Textbox")})
    assert choose(several).name == "/chat"


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("Max new tokens", "max_output_tokens"),
        ("Maximum number of new tokens (max_tokens)", "max_output_tokens"),
        ("Temperature", "temperature"),
        ("Sampling temperature", "temperature"),
        ("Top-p (nucleus sampling)", "top_p"),
        ("Top-k", "top_k"),
        ("Repetition penalty", "repetition_penalty"),
        ("Seed", "seed"),
    ],
)
def test_a_label_tells_what_a_nameless_slider_is(label: str, role: str) -> None:
    slider = {
        "parameter_name": "param_3",
        "label": label,
        "component": "Slider",
        "type": {"type": "number"},
    }
    assert roles_of(made_door(TEXTBOX, slider))[role] == 1


def test_a_text_is_never_a_number_nor_the_other_way_round() -> None:
    tricky = made_door(
        {"parameter_name": "temperature"},  # a text box
        {"parameter_name": "message", "component": "Slider", "type": {"type": "number"}},
    )
    assert roles_of(tricky) == {"message": 0}


def test_a_choice_is_not_what_the_user_writes() -> None:
    model = {"parameter_name": "instruction", "component": "Dropdown"}
    assert roles_of(made_door(model, {"parameter_name": "x"})) == {"message": 1}


def test_switches_and_choices() -> None:
    chosen = made_door(
        TEXTBOX,
        {"parameter_name": "enable_thinking", "component": "Checkbox"},
        {"parameter_name": "reasoning_effort", "component": "Radio"},
        {"parameter_name": "image", "component": "Image"},
        {"parameter_name": "history", "component": "State"},
    )
    assert roles_of(chosen) == {"message": 0, "thinking": 1, "effort": 2, "image": 3}
    assert is_chat(chosen, roles_of(chosen))


@pytest.mark.parametrize("version", ["3.50.2", "4.8.0"])
@pytest.mark.parametrize("protocol", ["ws", "sse", ""])
def test_what_is_too_old_is_named(version: str, protocol: str) -> None:
    body = json.dumps({"version": version, "protocol": protocol, "dependencies": []}).encode()
    with pytest.raises(UpstreamMisconfigured, match=rf"{version}.*4\.9 or newer"):
        read_config(body, BASE, ours=True)


def test_a_newer_dialect_of_the_queue_leaves_the_simple_api() -> None:
    assert made_site({"chat": ([TEXTBOX], "Textbox")}, protocol="sse_v9").queued is False


@pytest.mark.parametrize(
    "prefix",
    [
        "@evil.test",
        ".evil.test",
        ":80@evil.test/",
        "//evil.test",
        "/x?y",
        "/x#y",
        "/../x\r\nhost: evil.test",
        "https://evil.test",
        "/a b",
        "\\evil",
    ],
)
def test_an_api_outside_of_the_server_is_refused(prefix: str) -> None:
    body = json.dumps({"version": "6.31.0", "protocol": "sse_v3", "api_prefix": prefix}).encode()
    with pytest.raises(UpstreamBroken, match="outside of itself"):
        read_config(body, BASE, ours=True)


@pytest.mark.parametrize(
    "root", ["https://evil.test", "http://gradio.test.evil.test/x", "http://[", "//evil.test"]
)
def test_a_space_that_points_elsewhere_is_refused(root: str) -> None:
    body = json.dumps({"version": "6.31.0", "protocol": "sse_v3", "root": root}).encode()
    with pytest.raises(UpstreamBroken, match="another host"):
        read_config(body, BASE, ours=False)
    # One's own server behind a proxy knows itself by another name; it is never followed.
    assert read_config(body, BASE, ours=True).root == root


def test_a_space_that_points_to_itself_is_fine() -> None:
    for root in (BASE, "https://gradio.test/x", "", "/x"):
        body = json.dumps({"version": "6.31.0", "protocol": "sse_v3", "root": root}).encode()
        assert read_config(body, BASE, ours=False).protocol == "sse_v3"


def test_other_servers_are_told_from_gradio() -> None:
    with pytest.raises(UpstreamMisconfigured, match="no Gradio server"):
        read_config(b'{"models": []}', BASE, ours=True)


def test_an_endpoint_whose_arguments_cannot_be_told_is_left_out() -> None:
    config = json.loads(recorded("6.31-full-config.json"))
    info: dict[str, Any] = json.loads(recorded("6.31-full-info.json"))
    info["named_endpoints"]["/full"]["parameters"].pop()
    read = read_config(json.dumps(config).encode(), BASE, ours=True)
    assert read_site(read, json.dumps(info).encode()).doors == ()


@given(data=st.data())
def test_spoiled_descriptions_raise_nothing_strange(data: st.DataObject) -> None:
    config = data.draw(spoiled(recorded("4.44-full-config.json")))
    info = data.draw(spoiled(recorded("4.44-full-info.json")))
    try:
        choose(read_site(read_config(config, BASE, ours=False), info))
    except GatewayError as error:
        assert len(error.message) < 2000  # noqa: PT017 - any other exception fails the test
