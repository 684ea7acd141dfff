"""Proxies in the configuration: what is accepted, what is refused and in which words."""

from __future__ import annotations

import pytest

from dragoman.config.channels import read_channel
from dragoman.config.checks import proxy_url
from dragoman.config.environment import read
from dragoman.config.problems import Refusal


def said(refusal: Refusal) -> str:
    return "\n".join(str(problem) for problem in refusal.problems)


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy.example.com",
        "http://proxy.example.com:3128/",
        "https://user:p%40ss@10.0.0.1:8443",
        "socks5://user:p%20w@proxy:1080",
        "socks5h://[::1]:9050",
    ],
)
def test_accepted(url: str) -> None:
    assert proxy_url(url).reveal() == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks4://secret-host:1", "socks5://"),
        ("socks4a://secret-host:1", "socks5://"),
        ("socks://secret-host:1", "socks5://"),
        ("secret-host:3128", "must begin with http://"),
        ("http://", "names no valid host"),
        ("http://u:secret@p:port", "not a valid URL"),
        ("http://p:3128/secret", "must end after host and port"),
        ("http://u:1#secret@p:1", "%23"),
        ("socks5://secret@p:1", "both user and password"),
        ("socks5://u:s%E9cret@p:1", "ASCII"),
        ("http://u%3Asecret:x@p:1", "':' in the user's name"),
        (3128, "must be text"),
    ],
)
def test_refused(url: object, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        proxy_url(url)
    assert words in said(caught.value)
    assert "secret" not in said(caught.value)
    with pytest.raises(Refusal) as caught:
        read_channel({"name": "a", "type": "custom", "proxy_url": url})
    assert said(caught.value).startswith("proxy_url: ")
    assert words in said(caught.value)


def test_refused_in_the_environment_too() -> None:
    with pytest.raises(Refusal) as caught:
        read({"USE_PROXY": "true", "PROXY_URL": "socks4://u:secret@p:1"}, {})
    assert said(caught.value).startswith("PROXY_URL: must begin with ")
    assert "secret" not in said(caught.value)


def test_a_url_that_is_not_used_is_not_judged() -> None:
    assert read({"USE_PROXY": "False", "PROXY_URL": "socks4://p:1"}, {}).proxy is None
