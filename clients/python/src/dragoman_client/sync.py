"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Concatenate, Literal, ParamSpec, TypeVar, overload

import httpx

from dragoman_client import _calls, _http
from dragoman_client._calls import Call, Parameters
from dragoman_client._stream import TextReader
from dragoman_client._surface import describe
from dragoman_client.answers import TextGeneration

P = ParamSpec("P")
T = TypeVar("T")


class TextStream(Iterator[str]):
    """A model's text as it is written, piece by piece.

    Use it in ``with``, or read it to its end: leaving it early closes the connection, and the gateway
    stops. Reading raises what a request would (``dragoman_client.errors``).
    """

    def __init__(self, response: httpx.Response) -> None:
        """Made by the client."""
        self.request_id = _http.request_id(response)
        self._response = response
        self._pieces = self._read()

    def __next__(self) -> str:
        return next(self._pieces)

    def __enter__(self) -> TextStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if it is still open."""
        self._pieces.close()
        self._response.close()

    def _read(self) -> Generator[str, None, None]:
        reader = TextReader(self.request_id)
        try:
            for piece in self._response.iter_bytes():
                yield from reader.feed(piece)
            reader.end()
        except httpx.RequestError as error:
            raise _http.no_answer(error, self.request_id) from error
        finally:
            self._response.close()


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[DragomanClient, P], T]:
    """A method that sends what ``build`` makes of its arguments."""

    def send(self: DragomanClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    describe(send, build)
    return send


def _streaming(build: Callable[P, Call[T]]) -> Callable[Concatenate[DragomanClient, P], TextStream]:
    """A method that sends what ``build`` makes of its arguments, and has a stream for an answer."""

    def send(self: DragomanClient, /, *args: P.args, **kwargs: P.kwargs) -> TextStream:
        return self._open(build(*args, **kwargs))

    describe(send, build, TextStream)
    return send


class DragomanClient:
    """A gateway's tasks, models and costs. Use it in ``with``, or ``close`` it.

    It may be used by several threads. Every method raises what ``dragoman_client.errors`` lists.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = "http://localhost:3000",
        timeout: float = 60,
        max_retries: int = 2,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``timeout`` is in seconds, for connecting and for every wait for more bytes. ``max_retries``
        is how often a request may be sent again. ``transport`` is for proxies and certificates of one's
        own. Raises ValueError for a key or a URL that cannot be one."""
        self._base = _http.address(base_url)
        self._max_retries = max_retries
        self._http = httpx.Client(transport=transport, **_http.options(api_key, timeout))

    def __enter__(self) -> DragomanClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._base}>"

    def close(self) -> None:
        """Close all connections, those of streams too."""
        self._http.close()

    @overload
    def text_generation(
        self,
        inputs: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        parameters: Parameters | None = None,
        stream: Literal[False] = False,
    ) -> TextGeneration: ...

    @overload
    def text_generation(
        self,
        inputs: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        parameters: Parameters | None = None,
        stream: Literal[True],
    ) -> TextStream: ...

    def text_generation(
        self,
        inputs: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        parameters: Parameters | None = None,
        stream: bool = False,
    ) -> TextGeneration | TextStream:
        """Have a model go on with a text: as a whole, or with ``stream`` piece by piece.
        ``parameters`` are others by their documented names."""
        call = _calls.text_generation(
            inputs,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            parameters=parameters,
        )
        if stream:
            return self._open(_calls.streamed(call))
        return self._send(call)

    conversational = _method(_calls.conversational)
    summarization = _method(_calls.summarization)
    translation = _method(_calls.translation)
    question_answering = _method(_calls.question_answering)
    text_classification = _method(_calls.text_classification)
    token_classification = _method(_calls.token_classification)
    image_generation = _method(_calls.image_generation)
    embedding = _method(_calls.embedding)
    run = _method(_calls.run)
    stream = _streaming(_calls.stream)
    list_models = _method(_calls.list_models)
    map_model = _method(_calls.map_model)
    calculate_cost = _method(_calls.calculate_cost)
    get_usage = _method(_calls.get_usage)

    def _send(self, call: Call[T]) -> T:
        return call.read(_http.reply_of(self._exchange(call, stream=False)))

    def _open(self, call: Call[T]) -> TextStream:
        response = self._exchange(call, stream=True)
        try:
            _http.check_stream(response)
        except BaseException:
            response.close()
            raise
        return TextStream(response)

    def _exchange(self, call: Call[T], *, stream: bool) -> httpx.Response:
        """A response that is a success, read as a whole unless it is a stream."""
        key = _http.new_key(call, stream=stream, retries=self._max_retries)
        attempts = _http.attempts_at(call, key=key, retries=self._max_retries)
        while True:
            try:
                response = self._http.send(
                    _http.request(self._http, self._base, call, stream=stream, key=key),
                    stream=stream,
                )
                if response.is_success:
                    return response
                response.read()
            except httpx.RequestError as error:
                pause = _http.failed(attempts, error)
            else:
                pause = attempts.refused(_http.reply_of(response))
            time.sleep(pause)
