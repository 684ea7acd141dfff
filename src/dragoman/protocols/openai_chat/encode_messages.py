"""Messages for an upstream."""

from __future__ import annotations

from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.canonical.request import Message
from dragoman.protocols.openai_chat.context import Context
from dragoman.protocols.openai_chat.parts import Wire, encode_part, image_url
from dragoman.protocols.openai_chat.reasoning import PARAGRAPH, encode_history, is_detail
from dragoman.protocols.openai_chat.tools import encode_call
from dragoman.protocols.openai_chat.types import PROTOCOL_ID

_ATTACHED = "The result is attached to the next message."


def encode_messages(messages: list[Message], context: Context) -> list[Wire]:
    """Write a conversation."""
    writer = _Writer(context)
    for i, message in enumerate(messages):
        if message.role == "assistant":
            writer.assistant(message, f"messages.{i}")
        else:
            writer.other(message, f"messages.{i}")
    writer.flush()
    return writer.messages


class _Writer:
    """Keeps what one message leaves to the next: media out of tool results, names of calls."""

    def __init__(self, context: Context) -> None:
        self.messages: list[Wire] = []
        self._context = context
        self._carried: list[Wire] = []
        self._called: dict[str, str] = {}

    def flush(self) -> None:
        """Write carried media as a user message of their own."""
        if self._carried:
            self.messages.append({"role": "user", "content": self._carried})
            self._carried = []

    def other(self, message: Message, path: str) -> None:
        """Write a system, developer, user or tool message.

        Results come first, because they must follow the calls at once.
        """
        context = self._context
        own = message.extensions
        content: list[Wire] = []
        answered = False
        for j, part in enumerate(message.parts):
            where = f"{path}.parts.{j}"
            if isinstance(part, ToolResult):
                answered = True
                self._result(part, where)
                if len(message.parts) == 1:
                    context.extend(self.messages[-1], own, path)
                    return
            elif (wire := encode_part(part, where, context)) is not None:
                content.append(wire)
        if (answered or message.role == "tool") and not content:
            context.notes.foreign(path, own, PROTOCOL_ID)
            return
        if message.role in ("user", "tool"):
            content = self._carried + content
            self._carried = []
        self.flush()
        wire = {"role": self._role(message, path), "content": self._content(content, path)}
        self._name(wire, message, path)
        context.extend(wire, own, path)
        self.messages.append(wire)

    def _role(self, message: Message, path: str) -> str:
        if message.role == "developer" and not self._context.quirks.developer_role:
            self._context.notes.renamed(f"{path}.role", "developer becomes system")
            return "system"
        return "user" if message.role == "tool" else message.role

    def _name(self, wire: Wire, message: Message, path: str) -> None:
        if message.name is None:
            return
        if "name" in self._context.drops:
            self._context.notes.dropped(f"{path}.name", "refused by this provider")
        else:
            wire["name"] = message.name

    def _content(self, parts: list[Wire], path: str) -> Json:
        """A string where it says all, a list of parts otherwise."""
        if not parts:
            return ""
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            return parts[0]["text"]
        if self._context.quirks.join_text and all(part.get("type") == "text" for part in parts):
            self._context.notes.renamed(f"{path}.parts", "several texts become one")
            return PARAGRAPH.join(part["text"] for part in parts)
        return parts

    def _result(self, part: ToolResult, path: str) -> None:
        context = self._context
        content: list[Wire] = []
        carried = len(self._carried)
        for k, item in enumerate(part.content):
            where = f"{path}.content.{k}"
            wire = encode_part(item, where, context)
            if wire is None:
                continue
            if isinstance(item, Media) and item.text is None and not context.quirks.tool_media:
                context.notes.emulated(where, "moved to the user message after the results")
                self._carried.append(wire)
            else:
                content.append(wire)
        if not content and len(self._carried) > carried:
            content = [{"type": "text", "text": _ATTACHED}]
        if part.is_error:
            context.notes.emulated(f"{path}.is_error", "told in the text")
            content = _as_error(content)
        message: Wire = {
            "role": "tool",
            "tool_call_id": context.call_id(part.call_id),
            "content": self._content(content, path),
        }
        if part.name is not None and part.name != self._called.get(part.call_id):
            message["name"] = part.name
        if part.custom and not context.quirks.custom_tools:
            context.notes.emulated(path, "answers a function call")
        context.cache(message, part.cache, path)
        context.extend(message, part.extensions, path)
        self.messages.append(message)

    def assistant(self, message: Message, path: str) -> None:
        """Write an earlier answer: reasoning, content and calls in one message."""
        self.flush()
        context = self._context
        wire: Wire = {"role": "assistant"}
        reasoning: list[tuple[str, Reasoning | Opaque]] = []
        content: list[Wire] = []
        calls: list[Wire] = []
        for j, part in enumerate(message.parts):
            where = f"{path}.parts.{j}"
            if isinstance(part, Reasoning) or (isinstance(part, Opaque) and is_detail(part)):
                reasoning.append((where, part))
                self._uncached(part, where)
            elif isinstance(part, ToolCall):
                self._called[part.id] = part.name
                calls.append(encode_call(part, where, context))
            elif isinstance(part, Refusal):
                wire["refusal"] = wire.get("refusal", "") + part.text
                self._uncached(part, where)
                context.notes.foreign(where, part.extensions, PROTOCOL_ID)
            elif isinstance(part, Media) and part.kind in ("image", "audio"):
                self._media(part, wire, where)
            else:
                self._text(part, content, wire, where)
        if reasoning:
            encode_history(reasoning, wire, context)
        if (thought := wire.pop("content", None)) is not None:
            _put_before(thought, content)
        elif context.quirks.reasoning_required and "reasoning_content" not in wire:
            wire["reasoning_content"] = ""
            context.notes.emulated(path, "empty reasoning, as the upstream demands some")
        bare = not content and (calls or "refusal" in wire or "audio" in wire)
        wire["content"] = None if bare else self._content(content, path)
        if calls:
            wire["tool_calls"] = calls
        self._name(wire, message, path)
        context.extend(wire, message.extensions, path)
        self.messages.append(wire)

    def _text(self, part: Part, content: list[Wire], message: Wire, path: str) -> None:
        """Add a content part; annotations stand beside the content, not in it."""
        wire = encode_part(part, path, self._context)
        if wire is None:
            return
        annotations = wire.pop("annotations", None) if isinstance(part, Text) else None
        if annotations:
            message["annotations"] = [*message.get("annotations", ()), *annotations]
        content.append(wire)

    def _media(self, part: Media, message: Wire, path: str) -> None:
        """Pictures and sound in an earlier answer."""
        notes = self._context.notes
        audio_id = part.file_id or own_extensions(part.extensions, PROTOCOL_ID).get("id")
        if part.kind == "audio" and isinstance(audio_id, str):
            message["audio"] = {"id": audio_id}
            if part.data is not None:
                notes.emulated(path, "told by its id")
        elif (
            part.kind == "image"
            and self._context.quirks.assistant_images
            and (image := image_url(part)) is not None
        ):
            message.setdefault("images", []).append(image)
        else:
            notes.dropped(path, f"the upstream takes no {part.kind} from an assistant")
            return
        self._uncached(part, path)
        notes.foreign(path, part.extensions, PROTOCOL_ID)

    def _uncached(self, part: Part, path: str) -> None:
        if part.cache is not None:
            self._context.notes.dropped(f"{path}.cache", "no cache breakpoint is possible here")


def _put_before(text: str, content: list[Wire]) -> None:
    """Begin the content with ``text``, in one part with the text that is there."""
    if content and content[0].get("type") == "text":
        content[0] = {**content[0], "text": text + content[0]["text"]}
    else:
        content.insert(0, {"type": "text", "text": text})


def _as_error(content: list[Wire]) -> list[Wire]:
    """Say in words that a tool failed, as the protocol has no flag for it."""
    if content and content[0].get("type") == "text":
        text = content[0]["text"]
        if text[:5].lower() != "error":
            text = f"Error: {text}"
        return [{**content[0], "text": text}, *content[1:]]
    return [{"type": "text", "text": "Error"}, *content]
