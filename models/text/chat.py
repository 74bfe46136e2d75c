"""A language model behind an OpenAI-compatible URL: one request, and an answer that is checked before it is read."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from laban.errors import LabanError

MOST_BYTES = 1_000_000
"""Longer answers are not read: a list of names needs a few hundred bytes."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the key and the texts go to the named server alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


@dataclass(frozen=True)
class ChatServer:
    """`model` at `url` (as "http://localhost:8000/v1").

    `key` is sent as a bearer token and never shown; `timeout` is in seconds for each answer. Raises LabanError, naming
    the URL, for a refused connection, an HTTP error, a redirect, or what is no chat completion.
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

    @property
    def endpoint(self) -> str:
        """Where completions are asked for."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def ask(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], *, temperature: float = 0.0,
            seed: int | None = None) -> str:  # fmt: skip
        """What the model wrote; held to a JSON `schema` ("name" and "schema") where the server knows schemas."""
        body: dict[str, Any] = {"model": self.model, "temperature": temperature, "messages": list(messages)}
        if seed is not None:
            body["seed"] = seed
        constrained = {**body, "response_format": {"type": "json_schema", "json_schema": {"strict": True, **schema}}}
        status, raw = self._post(constrained)
        if status in (400, 422):  # a server that knows no schemas; the answer is checked in any case
            status, raw = self._post(body)
        if status != 200:
            raise LabanError(f"{self.endpoint}: answered HTTP {status} ({self.shown(raw)}); expected 200 and JSON")
        return self._message(raw)

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body of the answer; at most `MOST_BYTES`, within `timeout` seconds all told."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "laban"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.endpoint, json.dumps(body).encode(), headers, method="POST")
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
            raise LabanError(f"{self.endpoint}: no answer within {self.timeout:g} s") from None
        except urllib.error.URLError as error:
            raise LabanError(f"{self.endpoint}: cannot be reached ({self.shown(str(error.reason))})") from None
        except (OSError, http.client.HTTPException) as error:
            raise LabanError(f"{self.endpoint}: the answer broke off ({self.shown(repr(error))})") from None
        if 300 <= status < 400:
            raise LabanError(f"{self.endpoint}: redirects elsewhere, which is not followed; name the final URL")
        return status, raw

    def _body(self, answer: Any, latest: float) -> bytes:
        pieces, size = [], 0
        while piece := answer.read1(65536):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise LabanError(
                    f"{self.endpoint}: answered more than {MOST_BYTES:,} bytes; expected a short JSON answer"
                )
            if time.monotonic() > latest:
                raise LabanError(f"{self.endpoint}: no whole answer within {self.timeout:g} s")
        return b"".join(pieces)

    def _message(self, raw: bytes) -> str:
        """The text that the model wrote, out of a chat completion."""
        try:
            content = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            content = None
        if not isinstance(content, str):
            raise LabanError(f"{self.endpoint}: answered {self.shown(raw)}; expected a chat completion in JSON")
        return content

    def shown(self, found: str | bytes, most: int = 80) -> str:
        """The beginning of what was found, on one line of printable characters, without the key."""
        text = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
        text = text.replace(self.key, "[key]") if self.key else text
        text = "".join(c if c.isprintable() else " " for c in text[: most * 4])
        text = " ".join(text.split())
        return f"{text[:most]}…" if len(text) > most else text or "nothing"
