"""Body parts from text by a language model behind an OpenAI-compatible URL: asked for only, checked, and remembered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder
from laban.progress import progress
from laban.timeline import PARTS, canonical_part
from models.text.chat import MOST_BYTES, ChatServer
from models.text.parts import PartReading

QUESTION = (
    "An animator lays one motion over another and must know which body parts a motion needs. Name the smallest set of "
    f"body parts by which the described motion is recognised, out of: {', '.join(PARTS)}. Walking and other steps need "
    "the legs; an arm of unsaid side is the right arm; dancing, crawling, falling and acrobatics need all five. "
    'Answer with JSON alone, such as {"parts": ["right arm"]}.'
)
"""The instruction; a change of it makes every remembered answer invalid."""
_SCHEMA = {
    "type": "object",
    "properties": {"parts": {"type": "array", "items": {"type": "string", "enum": list(PARTS)}, "minItems": 1}},
    "required": ["parts"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class LlmLabeller:
    """Asks `model` at `url` (as "http://localhost:8000/v1") for the parts of each text, at temperature 0.

    `key` is sent as a bearer token and never shown; `timeout` is in seconds for each answer. Answers are kept in the
    user's cache by the hash of URL, model, instruction and text, so that a run can be repeated without the server.
    Raises LabanError, naming the URL, for a refused connection, an HTTP error, a redirect, or any answer that is not
    JSON with known parts.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 30.0

    def __post_init__(self) -> None:
        _ = self.server

    @cached_property
    def server(self) -> ChatServer:
        """Who is asked; LabanError for a malformed URL or key."""
        return ChatServer(self.url, self.model, self.key, self.timeout)

    def read(self, texts: Sequence[str]) -> list[PartReading]:
        """One reading for each text; each distinct text is asked for once, and never again."""
        answers: dict[str, tuple[str, ...]] = {}
        with progress(f"asking {self.model}", len(set(texts))) as advance:
            for text in dict.fromkeys(texts):
                answers[text] = self._remembered(text) or self._ask(text)
                advance(1)
        return [PartReading(answers[text], f"{self.model} at {self.server.endpoint} says so") for text in texts]

    def _path(self, text: str) -> Path:
        content = json.dumps([self.server.endpoint, self.model, QUESTION, text])
        return cache_folder() / "body_parts" / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.json"

    def _remembered(self, text: str) -> tuple[str, ...] | None:
        with suppress(OSError, ValueError, RecursionError):
            if (path := self._path(text)).stat().st_size <= MOST_BYTES:
                return self._parts(path.read_text(encoding="utf-8"))
        return None

    def _ask(self, text: str) -> tuple[str, ...]:
        messages = [{"role": "system", "content": QUESTION}, {"role": "user", "content": f"The motion: {text}"}]
        parts = self._parts(self.server.ask(messages, {"name": "body_parts", "schema": _SCHEMA}))
        with suppress(LabanError), atomic_path(self._path(text)) as temporary:
            kept = {"url": self.server.endpoint, "model": self.model, "text": text, "parts": parts}
            temporary.write_text(json.dumps(kept), encoding="utf-8")
        return parts

    def _parts(self, content: str) -> tuple[str, ...]:
        """The parts in a JSON object (a fence of backticks around it is passed over), each a known one."""
        plain = re.sub(r"^```(?:json)?\s*|\s*```$", "", content.strip())
        try:
            names = json.loads(plain)["parts"]
        except (ValueError, LookupError, TypeError, RecursionError):
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            shown = self.server.shown(content)
            raise LabanError(
                f'{self.server.endpoint}: {self.model} wrote {shown}; expected JSON such as {{"parts": ["legs"]}}'
            )
        try:
            found = {canonical_part(name) for name in names}
        except LabanError as error:
            raise LabanError(
                f"{self.server.endpoint}: {self.model} wrote an {self.server.shown(str(error), 200)}"
            ) from None
        return tuple(part for part in PARTS if part in found)
