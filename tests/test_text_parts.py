"""Body parts from text: explicit words, actions, unions, the mirror; and a language model asked over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from laban.files import cache_folder
from laban.timeline import PARTS
from models.text.captions import mirror_text, sentence
from models.text.part_llm import MOST_BYTES, LlmLabeller
from models.text.part_words import part_phrases
from models.text.parts import EmbeddedLabeller, Labeller, body_parts, explain
from models.text.phrases import PHRASES

LETTERS = dict(zip("LRGHS", PARTS, strict=True))


def parts(letters: str) -> tuple[str, ...]:
    """LR: both arms, G: legs, H: head, S: spine."""
    return tuple(LETTERS[letter] for letter in letters)


def mirrored(found: tuple[str, ...]) -> set[str]:
    swap = {"left arm": "right arm", "right arm": "left arm"}
    return {swap.get(part, part) for part in found}


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("wave with the left hand", "L"),
        ("She WAVES, with her left hand.", "L"),
        ("waves both hands", "LR"),
        ("raises both arms", "LR"),
        ("raises left and right hands", "LR"),
        ("one hand up, the other down", "LR"),
        ("points up with the left index finger", "L"),
        ("throws a left hook", "LS"),
        ("throws the ball left-handed", "LS"),
        ("a left-handed person waves with the right hand", "R"),
        ("turns left and waves", "RG"),
        ("walks to the left", "G"),
        ("nods", "H"),
        ("looks around", "H"),
        ("looks down at the feet", "H"),
        ("turns the head to the left", "H"),
        ("turns around", "G"),
        ("twists the torso", "S"),
        ("rotates the upper body", "S"),
        ("arches her back", "S"),
        ("steps back", "G"),
        ("heads for the door", "G"),
        ("hands him a letter", "R"),
        ("raises the right foot", "G"),
        ("bends the knees", "G"),
        ("bends forward", "S"),
        ("bends forward with the arms out", "LRS"),
        ("bows", "HS"),
        ("bows the head", "H"),
        ("kicks", "G"),
        ("sits down", "GS"),
        ("punches", "RS"),
        ("punches with the left fist", "LS"),
        ("claps above the head", "LR"),
        ("covers the face with the left hand", "LH"),
        ("taps the left elbow", "LR"),
        ("walks without moving the arms", "G"),
        ("is pushed from behind", "GS"),
        ("shakes hands", "R"),
        ("the whole body trembles", "LRGHS"),
    ],
)
def test_named_parts_and_known_actions(text: str, letters: str) -> None:
    assert body_parts([text]) == [parts(letters)]


@pytest.mark.parametrize(
    "text",
    ["dance", "cartwheel", "crawl", "falls down", "gets up from the floor", "jumping jacks", "push-ups", "sit ups",
     "swims", "dances with the left hand raised", "she slept", "lying on the back"],
)  # fmt: skip
def test_actions_of_the_whole_body(text: str) -> None:
    assert body_parts([text]) == [PARTS]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("walks while waving the left hand", "LG"),
        ("nods and claps", "LRH"),
        ("walks forward, nods, then waves with both hands", "LRGH"),
        ("waves while holding a cup in the left hand", "LR"),
        ("picks up a cup with the left hand and drinks", "LGHS"),
        ("with the left hand, picks up a cup", "LGS"),
        ("walks back and forth", "G"),
    ],
)
def test_joined_texts_need_the_union(text: str, letters: str) -> None:
    assert body_parts([text]) == [parts(letters)]


def test_an_assumed_side_is_said() -> None:
    waves, left = explain(["a person waves", "a person waves with the left hand"])
    assert waves.parts == ("right arm",) and waves.assumed_side and "no side said: right arm" in waves.because
    assert left.parts == ("left arm",) and not left.assumed_side and "names left arm" in left.because


def test_other_words_are_read_like_the_nearest_phrase_which_is_named() -> None:
    greets, guitarist = explain(["greets a neighbour with the left hand", "performs a guitar solo"])
    assert greets.parts == ("left arm",) and 'like "greet someone"' in greets.because
    assert guitarist.parts == parts("LR") and 'like "play guitar"' in guitarist.because
    assert explain(["performs a guitar solo"], EmbeddedLabeller(like=2))[0].parts == PARTS


def test_words_that_say_nothing_need_the_whole_body() -> None:
    reading = explain(["xyzzy plugh"])[0]
    assert reading.parts == PARTS and reading.because.startswith("nothing known")


@pytest.mark.parametrize("text", ["", "  ", "...", "\n"])
def test_an_empty_text_is_an_error(text: str) -> None:
    with pytest.raises(LabanError, match="text 2 is .*; accepted: words"):
        body_parts(["walk", text])
    assert body_parts([]) == []


def test_a_reading_depends_on_nothing_but_the_text() -> None:
    texts = ["performs a guitar solo", "waves", "greets a neighbour", "walks and nods"]
    alone = [explain([text])[0] for text in texts]
    assert explain(texts) == alone
    assert explain(texts[::-1]) == alone[::-1]
    _again(texts)


def _again(texts: list[str]) -> None:
    """The vectors of the phrases come out of the cache the second time; a damaged file is made anew."""
    from models.text import parts as module

    first = explain(texts)
    stored = next((cache_folder() / "body_parts").glob("phrases-*.npz"))
    for content in (stored.read_bytes(), b"damaged"):
        stored.write_bytes(content)
        module._table.cache_clear()
        assert explain(texts) == first


@pytest.mark.parametrize("action", sorted(PHRASES))
def test_every_known_action_has_a_phrase_of_its_own_or_near(action: str) -> None:
    reading = explain([action])[0]
    assert not reading.because.startswith("nothing known")


PIECES = [
    "waves", "waves with the left hand", "raises the right arm", "lifts the left leg", "walks to the right", "nods",
    "turns clockwise", "throws a left hook", "picks up a cup with the right hand", "turns the head left", "claps",
    "holds a cup in the left hand", "steps onto the right foot", "greets a neighbour", "swings both arms", "bows",
    "leaves what is left", "touches the right shoulder with the left hand", "drinks", "leans to the left",
    "with the right", "looks over the left shoulder", "taps the right knee", "juggles with the left hand",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), st.sampled_from([" and ", " while ", ", ", " then "]))
def test_a_mirrored_text_needs_the_mirrored_parts(pieces: list[str], joint: str) -> None:
    text = joint.join(pieces)
    here, there = explain([text, mirror_text(text)])
    assert here.assumed_side == there.assumed_side
    assert set(there.parts) == (set(here.parts) if here.assumed_side else mirrored(here.parts))


@given(st.sampled_from(sorted(p for rows in PHRASES.values() for row in rows.values() for p in row)))
def test_the_mirror_holds_for_the_phrases_of_the_captions(phrase: str) -> None:
    text = sentence(phrase, "s", "a person")
    here, there = explain([text, mirror_text(text)])
    assert set(there.parts) == (set(here.parts) if here.assumed_side else mirrored(here.parts))


def test_the_table_is_sound() -> None:
    table = part_phrases()
    assert len(table) > 900
    assert {slot for slots in table.values() for slot in slots} == {"arm", "arms", "legs", "head", "spine"}
    assert not any({"arm", "arms"} <= set(slots) for slots in table.values())


def test_a_hundred_texts_take_no_half_second() -> None:
    texts = [f"performs move number {number} of a guitar solo" for number in range(100)]
    body_parts(["performs a guitar solo"])  # loads the encoder and the phrases
    start = time.process_time()
    body_parts(texts)
    assert time.process_time() - start < 1.5  # under the run-time checks of annotations; 0.3 s without


# A language model behind a URL ----------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]
KEY = "sk-very-secret-0123456789"


def completion(content: str) -> Answer:
    body = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


class Server(ThreadingHTTPServer):
    """Answers what `answer` makes of each request's JSON, and keeps the requests."""

    daemon_threads = True

    def __init__(self, answer: Callable[[dict], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.seen = answer, list[tuple[str, dict[str, str], dict]]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        status, headers, content = self.server.answer(body)
        if not status:
            return  # hangs up
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(content), step := 1 if "X-Drip" in headers else MOST_BYTES):
            self.wfile.write(content[start : start + step])
            time.sleep(0.1 if step == 1 else 0)

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.seen.append((self.path, dict(self.headers), {}))
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Callable[[Callable[[dict], Answer]], Server]]:
    monkeypatch.setenv("LABAN_CACHE", str(tmp_path))
    running: list[Server] = []

    def start(answer: Callable[[dict], Answer]) -> Server:
        running.append(server := Server(answer))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_a_model_is_asked_once_and_its_answers_are_replayed_without_it(serve) -> None:
    server = serve(lambda body: completion('{"parts": ["spine", "left arm", "torso"]}'))
    labeller = LlmLabeller(server.url, "some-model", key=KEY)
    assert isinstance(labeller, Labeller)
    assert body_parts(["bows waving", "bows waving"], labeller) == [parts("LS")] * 2
    (path, headers, body), *others = server.seen
    assert others == [] and path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert (
        body["model"] == "some-model" and body["temperature"] == 0 and "bows waving" in body["messages"][-1]["content"]
    )
    assert body["response_format"]["json_schema"]["schema"]["properties"]["parts"]["items"]["enum"] == list(PARTS)
    server.shutdown()
    server.server_close()
    again = explain(["bows waving"], LlmLabeller(server.url, "some-model"))[0]
    assert again.parts == parts("LS") and "some-model" in again.because
    with pytest.raises(LabanError, match="cannot be reached"):
        body_parts(["bows waving"], LlmLabeller(server.url, "another-model"))
    stored = "".join(path.read_text() for path in cache_folder().rglob("*.json"))
    assert "bows waving" in stored and KEY not in stored


def test_a_damaged_memory_is_asked_for_again(serve) -> None:
    server = serve(lambda body: completion('```json\n{"parts": ["legs"]}\n```'))
    labeller = LlmLabeller(server.url, "m")
    for content in ("", '{"parts": ["wings"]}', "[" * 100_000):
        assert body_parts(["walk"], labeller) == [("legs",)]
        next(cache_folder().rglob("*.json")).write_text(content)
    assert len(server.seen) == 3


def test_a_server_without_schemas_is_asked_plainly(serve) -> None:
    server = serve(lambda body: (400, {}, b"?") if "response_format" in body else completion('{"parts": ["head"]}'))
    assert body_parts(["nod"], LlmLabeller(server.url, "m")) == [("head",)]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (completion('{"parts": ["left wing"]}'), "unknown body part 'left wing'"),
        (completion('{"parts": []}'), "expected JSON such as"),
        (completion('{"parts": "legs"}'), "expected JSON such as"),
        (completion('{"parts": [1]}'), "expected JSON such as"),
        (completion("the legs"), "wrote the legs; expected JSON"),
        (completion("[" * 50_000), "expected JSON such as"),
        (completion("\x1b[2J" + KEY), r"wrote \[2J\[key\]; expected JSON"),
        ((200, {}, b"<html>"), "answered <html>; expected a chat completion"),
        ((200, {}, b'{"choices": []}'), "expected a chat completion"),
        ((200, {}, b"[" * 50_000), "expected a chat completion"),
        ((200, {}, b'{"choices": [{"message": {"content": null}}]}'), "expected a chat completion"),
        ((200, {}, b"\xff\xfe\x00"), "expected a chat completion"),
        ((200, {}, b"x" * (MOST_BYTES + 1)), "more than 1,000,000 bytes"),
        ((200, {"Content-Length": "5000"}, b"{"), "expected a chat completion"),
        ((0, {}, b""), "broke off"),
        ((401, {}, b"no such key: " + KEY.encode()), r"HTTP 401 \(no such key: \[key\]\)"),
        ((500, {}, b""), r"HTTP 500 \(nothing\)"),
    ],
)
def test_a_bad_answer_is_one_line_that_names_the_url_and_never_the_key(serve, answer: Answer, message: str) -> None:
    server = serve(lambda body: answer)
    with pytest.raises(LabanError, match=message) as caught:
        body_parts(["walk"], LlmLabeller(server.url, "m", key=KEY, timeout=5))
    said = str(caught.value)
    assert said.startswith(server.url) and "\n" not in said and KEY not in said and len(said) < 400
    assert list(cache_folder().rglob("*.json")) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve, status: int) -> None:
    thief = serve(lambda body: completion('{"parts": ["legs"]}'))
    server = serve(lambda body: (status, {"Location": f"{thief.url}/chat/completions"}, b""))
    with pytest.raises(LabanError, match="redirects elsewhere"):
        body_parts(["walk"], LlmLabeller(server.url, "m", key=KEY))
    assert thief.seen == [] and len(server.seen) == 1


def test_a_server_that_never_answers_is_given_up(serve) -> None:
    release = threading.Event()
    server = serve(lambda body: (release.wait(10), completion('{"parts": ["legs"]}'))[1])
    with pytest.raises(LabanError, match=r"no answer within 0\.3 s"):
        body_parts(["walk"], LlmLabeller(server.url, "m", timeout=0.3))
    release.set()


def test_a_server_that_answers_byte_by_byte_is_given_up(serve) -> None:
    server = serve(lambda body: (200, {"X-Drip": "yes"}, b" " * 50))
    with pytest.raises(LabanError, match=r"no whole answer within 0\.5 s"):
        body_parts(["walk"], LlmLabeller(server.url, "m", timeout=0.5))


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("localhost:8000", {}, "accepted: http://"),
        ("file:///etc/passwd", {}, "accepted: http://"),
        ("http://", {}, "accepted: http://"),
        ("http://[::1", {}, "malformed"),
        ("http://host:99999", {}, "malformed"),
        ("http://host/\r\nX: y", {}, "accepted: http://"),
        ("http://me:secret@host/v1", {}, "holds a user name or password"),
        ("http://host", {"model": " "}, "model's name is empty"),
        ("http://host", {"timeout": 0}, "positive number of seconds"),
        ("http://host", {"key": "two\nlines"}, "key for http://host"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_sent(url: str, settings: dict, message: str) -> None:
    with pytest.raises(LabanError, match=message) as caught:
        LlmLabeller(**{"url": url, "model": "m", **settings})
    assert "secret" not in str(caught.value) and "two" not in str(caught.value)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(LlmLabeller("http://localhost", "m", key=KEY))
