"""The lines of a batch: what a line of the input must be, and what a line of the output says. Pure.

Decides which lines refuse a file, by OpenAI's codes. Refuses to know the disk: raw lines come as an argument.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from scheduler.batches import LineProblem
from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.openai_api import Call, Endpoint, read_call

# More than these help nobody to mend a file, and each takes room in every answer about the batch.
MAX_PROBLEMS = 100
MAX_CUSTOM_ID_CHARACTERS = 512
_BOM = b"\xef\xbb\xbf"
# Until a pool is measured: engines decode some tens of tokens a second for each request of a full batch.
_GUESS_TOKENS_PER_S = 20.0
_ID_PREFIX = "batch_req_"


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_decoder = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request of a batch; `number` counts the lines of the file from 1."""

    number: int
    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading a whole file. `problems` empty means that the batch may run."""

    lines: int
    model: str | None
    guessed_line_s: float
    problems: tuple[LineProblem, ...]


def numbered(raw_lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank with their numbers, without byte order mark and line ends."""
    for number, raw in enumerate(raw_lines, start=1):
        text = raw.removeprefix(_BOM).strip() if number == 1 else raw.strip()
        if text:
            yield number, text


def read_line(number: int, raw: bytes) -> Line:
    """A line of a file that was checked before."""
    line = _decoder.decode(raw)
    return Line(number=number, custom_id=line.custom_id, body=bytes(line.body))


class _RefusedLineError(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param
        super().__init__(message)


class FileCheck:
    """Checks a file some lines at a time, holding none of it but a digest of each `custom_id`."""

    def __init__(self, endpoint: Endpoint, *, is_known: Callable[[str], bool], max_lines: int) -> None:
        self._endpoint, self._is_known, self._max_lines = endpoint, is_known, max_lines
        self._lines, self._output_tokens = 0, 0
        self._model: str | None = None
        self._problems: list[LineProblem] = []
        self._seen: set[bytes] = set()

    def check_some(self, lines: Iterator[tuple[int, bytes]], most: int) -> bool:
        """Whether there may be more to check. `lines` are those of `numbered`."""
        checked = 0
        for number, raw in islice(lines, most):
            checked += 1
            if self._lines >= self._max_lines:
                message = f"A batch may have {self._max_lines} lines."
                self._problems.append(LineProblem(code="too_many_tasks", message=message, line=number))
                return False
            self._check(number, raw)
            if len(self._problems) >= MAX_PROBLEMS:
                return False
        return checked == most

    def refuse(self, message: str, line: int | None = None) -> None:
        """The file cannot be read further."""
        self._problems.append(LineProblem(code="invalid_request", message=message, line=line))

    def reading(self) -> Reading:
        """What is known once all is checked."""
        if not self._lines and not self._problems:
            self._problems.append(LineProblem(code="empty_file", message="The file holds no request."))
        return Reading(
            lines=self._lines,
            model=self._model,
            guessed_line_s=self._output_tokens / max(1, self._lines) / _GUESS_TOKENS_PER_S,
            problems=tuple(self._problems),
        )

    def _check(self, number: int, raw: bytes) -> None:
        self._lines += 1
        try:
            line = _decoded(raw)
            self._check_address(line)
            self._check_call(line)
        except _RefusedLineError as refused:
            self._problems.append(
                LineProblem(code=refused.code, message=refused.message, line=number, param=refused.param)
            )

    def _check_address(self, line: _Line) -> None:
        if not 0 < len(line.custom_id) <= MAX_CUSTOM_ID_CHARACTERS:
            raise _RefusedLineError(
                "invalid_request", f"custom_id must have 1 to {MAX_CUSTOM_ID_CHARACTERS} characters.", "custom_id"
            )
        digest = hashlib.blake2b(line.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            raise _RefusedLineError("duplicate_custom_id", "This custom_id was used by an earlier line.", "custom_id")
        self._seen.add(digest)
        if line.method != "POST":
            raise _RefusedLineError("invalid_method", "method must be POST.", "method")
        if line.url != self._endpoint:
            raise _RefusedLineError("url_mismatch", f"url must be the endpoint of the batch, {self._endpoint}.", "url")

    def _check_call(self, line: _Line) -> None:
        call = _call(self._endpoint, bytes(line.body))
        if not self._is_known(call.model):
            raise _RefusedLineError("model_not_found", f"No worker here serves {call.model[:100]!r}.", "body.model")
        if self._model is None:
            self._model = call.model
        if call.model != self._model:
            raise _RefusedLineError(
                "model_mismatch", f"All lines must ask the model of the first, {self._model}.", "body.model"
            )
        self._output_tokens += call.output_tokens


def _decoded(raw: bytes) -> _Line:
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _RefusedLineError(
            "invalid_request", f"A line needs custom_id, method and url as texts, and a body: {error}."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _RefusedLineError("invalid_json_line", "This line is not valid JSON.") from None


def _call(endpoint: Endpoint, body: bytes) -> Call:
    if body[:1] != b"{":
        raise _RefusedLineError("invalid_request", "body must be an object.", "body")
    try:
        call = read_call(endpoint, body)
    except ApiError as error:
        param = f"body.{error.param}" if error.param else "body"
        raise _RefusedLineError(error.code or "invalid_request", error.message, param) from None
    if call.is_streaming:
        raise _RefusedLineError("invalid_request", "Nobody reads a stream in a batch: leave stream out.", "body.stream")
    return call


# -- output ------------------------------------------------------------------------------------------------------------


class _Result(msgspec.Struct, gc=False):
    id: str
    custom_id: str
    response: dict[str, object] | None
    error: dict[str, str] | None


class _Name(msgspec.Struct, gc=False):
    id: str


_name_decoder = msgspec.json.Decoder(_Name)


def result_line(batch_id: str, line: Line, *, status: int, request_id: str, body: bytes) -> bytes:
    """A line of the output file, or of the error file for a status other than 200."""
    response: dict[str, object] = {"status_code": status, "request_id": request_id, "body": _as_json(body)}
    result = _Result(id=_id_of(batch_id, line.number), custom_id=line.custom_id, response=response, error=None)
    return msgspec.json.encode(result) + b"\n"


def unanswered_line(batch_id: str, line: Line, *, code: str, message: str) -> bytes:
    """A line of the error file for a request that was never answered."""
    result = _Result(
        id=_id_of(batch_id, line.number),
        custom_id=line.custom_id,
        response=None,
        error={"code": code, "message": message},
    )
    return msgspec.json.encode(result) + b"\n"


def number_of(result: bytes) -> int | None:
    """Which line of the input a line of the output answers; None where it is cut, or was never whole."""
    if not result.endswith(b"\n"):
        return None
    try:
        number = _name_decoder.decode(result).id.rpartition("_")[2]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return int(number) if number.isascii() and number.isdigit() else None


def _id_of(batch_id: str, number: int) -> str:
    return f"{_ID_PREFIX}{batch_id.removeprefix('batch-')}_{number}"


def _as_json(body: bytes) -> object:
    """The worker's own bytes where they are JSON on one line; a text where they are none."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    # Strings of JSON hold no raw line breaks, so only the layout changes.
    return msgspec.Raw(body.replace(b"\r", b"").replace(b"\n", b" "))
