"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

import httpx

from dragoman_client import _calls, _http
from dragoman_client._calls import Call, Parameters
from dragoman_client._stream import TextReader
from dragoman_client._surface import describe
from dragoman_client.answers import TextGeneration

P = ParamSpec("P")
T = TypeVar("T")


class AsyncTextStream(AsyncIterator[str]):
    """A model's text as it is written, piece by piece.

    Use it in ``async with``, or read it to its end: leaving it early, or cancelling who reads it, closes
    the connection, and the gateway stops. Reading raises what a request would (``dragoman_client.errors``).
    """

    def __init__(self, response: httpx.Response) -> None:
        """Made by the client."""
        self.request_id = _http.request_id(response)
        self._response = response
        self._pieces = self._read()

    async def __anext__(self) -> str:
        return await anext(self._pieces)

    async def __aenter__(self) -> AsyncTextStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, if it is still open."""
        await self._pieces.aclose()
        await self._response.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        reader = TextReader(self.request_id)
        try:
            async for piece in self._response.aiter_bytes():
                for text in reader.feed(piece):
                    yield text
            reader.end()
        except httpx.RequestError as error:
            raise _http.no_answer(error, self.request_id) from error
        finally:
            await self._response.aclose()


def _method(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncDragomanClient, P], Coroutine[Any, Any, T]]:
    """A method that sends what ``build`` makes of its arguments."""

    async def send(self: AsyncDragomanClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    describe(send, build)
    return send


def _streaming(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncDragomanClient, P], Coroutine[Any, Any, AsyncTextStream]]:
    """A method that sends what ``build`` makes of its arguments, and has a stream for an answer."""

    async def send(
        self: AsyncDragomanClient, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncTextStream:
        return await self._open(build(*args, **kwargs))

    describe(send, build, AsyncTextStream)
    return send


class AsyncDragomanClient:
    """A gateway's tasks, models and costs. Use it in ``async with``, or ``aclose`` it.

    It belongs to one event loop. Every method raises what ``dragoman_client.errors`` lists.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = "http://localhost:3000",
        timeout: float = 60,
        max_retries: int = 2,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``timeout`` is in seconds, for connecting and for every wait for more bytes. ``max_retries``
        is how often a request may be sent again. ``transport`` is for proxies and certificates of one's
        own. Raises ValueError for a key or a URL that cannot be one."""
        self._base = _http.address(base_url)
        self._max_retries = max_retries
        self._http = httpx.AsyncClient(transport=transport, **_http.options(api_key, timeout))

    async def __aenter__(self) -> AsyncDragomanClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._base}>"

    async def aclose(self) -> None:
        """Close all connections, those of streams too."""
        await self._http.aclose()

    @overload
    async def text_generation(
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
    async def text_generation(
        self,
        inputs: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        parameters: Parameters | None = None,
        stream: Literal[True],
    ) -> AsyncTextStream: ...

    async def text_generation(
        self,
        inputs: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        parameters: Parameters | None = None,
        stream: bool = False,
    ) -> TextGeneration | AsyncTextStream:
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
            return await self._open(_calls.streamed(call))
        return await self._send(call)

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

    async def _send(self, call: Call[T]) -> T:
        return call.read(_http.reply_of(await self._exchange(call, stream=False)))

    async def _open(self, call: Call[T]) -> AsyncTextStream:
        response = await self._exchange(call, stream=True)
        try:
            _http.check_stream(response)
        except BaseException:
            await response.aclose()
            raise
        return AsyncTextStream(response)

    async def _exchange(self, call: Call[T], *, stream: bool) -> httpx.Response:
        """A response that is a success, read as a whole unless it is a stream."""
        key = _http.new_key(call, stream=stream, retries=self._max_retries)
        attempts = _http.attempts_at(call, key=key, retries=self._max_retries)
        while True:
            try:
                response = await self._http.send(
                    _http.request(self._http, self._base, call, stream=stream, key=key),
                    stream=stream,
                )
                if response.is_success:
                    return response
                await response.aread()
            except httpx.RequestError as error:
                pause = _http.failed(attempts, error)
            else:
                pause = attempts.refused(_http.reply_of(response))
            await asyncio.sleep(pause)
