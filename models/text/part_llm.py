"""Body parts from text by a language model behind an OpenAI-compatible URL: asked for only, checked, and remembered."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder
from laban.progress import progress
from laban.timeline import PARTS, canonical_part
from models.text.parts import PartReading

MOST_BYTES = 1_000_000
"""Longer answers are not read: five names need a few hundred bytes."""
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
_LOCAL = ("localhost", "127.0.0.1", "::1")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the key and the texts go to the named server alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


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
        try:
            found = urlsplit(self.url)
            _ = found.port
        except ValueError:
            raise LabanError(f"url {self.url!r} is malformed; accepted: such as http://localhost:8000/v1") from None
        if found.username or found.password:
            raise LabanError(f"url of {found.hostname}: holds a user name or password; give the key apart from the URL")
        if found.scheme not in ("http", "https") or not found.hostname or re.search(r"[\s\x00-\x1f\x7f]", self.url):
            raise LabanError(
                f"url {self.url!r}: accepted: http:// or https:// and a server, such as http://localhost:8000/v1"
            )
        if not self.model.strip():
            raise LabanError(f"{self.url}: the model's name is empty; accepted: a name that the server lists")
        if not 0 < self.timeout < float("inf"):
            raise LabanError(f"timeout is {self.timeout}; accepted: a positive number of seconds")
        if self.key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.key):
            raise LabanError(f"key for {self.url}: holds spaces, control or non-ASCII characters, or is empty")

    def read(self, texts: Sequence[str]) -> list[PartReading]:
        """One reading for each text; each distinct text is asked for once, and never again."""
        answers: dict[str, tuple[str, ...]] = {}
        with progress(f"asking {self.model}", len(set(texts))) as advance:
            for text in dict.fromkeys(texts):
                answers[text] = self._remembered(text) or self._ask(text)
                advance(1)
        return [PartReading(answers[text], f"{self.model} at {self._endpoint} says so") for text in texts]

    @property
    def _endpoint(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def _path(self, text: str) -> Path:
        content = json.dumps([self._endpoint, self.model, QUESTION, text])
        return cache_folder() / "body_parts" / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.json"

    def _remembered(self, text: str) -> tuple[str, ...] | None:
        with suppress(OSError, ValueError, RecursionError):
            if (path := self._path(text)).stat().st_size <= MOST_BYTES:
                return self._parts(path.read_text(encoding="utf-8"))
        return None

    def _ask(self, text: str) -> tuple[str, ...]:
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": 0,
            "messages": [{"role": "system", "content": QUESTION}, {"role": "user", "content": f"The motion: {text}"}],
        }
        schema = {"name": "body_parts", "strict": True, "schema": _SCHEMA}
        constrained = {**body, "response_format": {"type": "json_schema", "json_schema": schema}}
        status, raw = self._post(constrained)
        if status in (400, 422):  # a server that knows no schemas; the answer is checked in any case
            status, raw = self._post(body)
        if status != 200:
            raise LabanError(f"{self._endpoint}: answered HTTP {status} ({self._shown(raw)}); expected 200 and JSON")
        parts = self._parts(self._message(raw))
        with suppress(LabanError), atomic_path(self._path(text)) as temporary:
            kept = {"url": self._endpoint, "model": self.model, "text": text, "parts": parts}
            temporary.write_text(json.dumps(kept), encoding="utf-8")
        return parts

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body of the answer; at most `MOST_BYTES`, within `timeout` seconds all told."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "laban"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self._endpoint, json.dumps(body).encode(), headers, method="POST")
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if urlsplit(self.url).hostname in _LOCAL:
            handlers.append(urllib.request.ProxyHandler({}))
        latest = time.monotonic() + self.timeout
        try:
            try:
                answer = urllib.request.build_opener(*handlers).open(request, timeout=self.timeout)
            except urllib.error.HTTPError as error:
                answer = error  # an answer like any other, with its status
            with answer:
                status, raw = int(answer.status), self._body(answer, latest)
        except TimeoutError:
            raise LabanError(f"{self._endpoint}: no answer within {self.timeout:g} s") from None
        except urllib.error.URLError as error:
            raise LabanError(f"{self._endpoint}: cannot be reached ({self._shown(str(error.reason))})") from None
        except (OSError, http.client.HTTPException) as error:
            raise LabanError(f"{self._endpoint}: the answer broke off ({self._shown(repr(error))})") from None
        if 300 <= status < 400:
            raise LabanError(f"{self._endpoint}: redirects elsewhere, which is not followed; name the final URL")
        return status, raw

    def _body(self, answer: Any, latest: float) -> bytes:
        pieces, size = [], 0
        while piece := answer.read1(65536):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise LabanError(
                    f"{self._endpoint}: answered more than {MOST_BYTES:,} bytes; expected a short JSON answer"
                )
            if time.monotonic() > latest:
                raise LabanError(f"{self._endpoint}: no whole answer within {self.timeout:g} s")
        return b"".join(pieces)

    def _message(self, raw: bytes) -> str:
        """The text that the model wrote, out of a chat completion."""
        try:
            content = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            content = None
        if not isinstance(content, str):
            raise LabanError(f"{self._endpoint}: answered {self._shown(raw)}; expected a chat completion in JSON")
        return content

    def _parts(self, content: str) -> tuple[str, ...]:
        """The parts in a JSON object (a fence of backticks around it is passed over), each a known one."""
        plain = re.sub(r"^```(?:json)?\s*|\s*```$", "", content.strip())
        try:
            names = json.loads(plain)["parts"]
        except (ValueError, LookupError, TypeError, RecursionError):
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            shown = self._shown(content)
            raise LabanError(
                f'{self._endpoint}: {self.model} wrote {shown}; expected JSON such as {{"parts": ["legs"]}}'
            )
        try:
            found = {canonical_part(name) for name in names}
        except LabanError as error:
            raise LabanError(f"{self._endpoint}: {self.model} wrote an {self._shown(str(error), 200)}") from None
        return tuple(part for part in PARTS if part in found)

    def _shown(self, found: str | bytes, most: int = 80) -> str:
        """The beginning of what was found, on one line of printable characters, without the key."""
        text = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
        text = text.replace(self.key, "[key]") if self.key else text
        text = "".join(c if c.isprintable() else " " for c in text[: most * 4])
        text = " ".join(text.split())
        return f"{text[:most]}…" if len(text) > most else text or "nothing"
