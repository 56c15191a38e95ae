"""The multipart decoder under a coverage-guided fuzzer.

    python -m tests.soak.fuzz_multipart --inputs 1000000

It needs atheris (in the ``soak`` extra; there are wheels for some versions of Python only). Without
it the same inputs are made by blind mutation, and the report says so. What every input must
satisfy is `check`; the tests hold it too, under Hypothesis.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType

import attrs
import click

from gsc_trio.errors import MalformedResponseError
from gsc_trio.wire.multipart import (
    BatchCall,
    BatchPart,
    MultipartDecoder,
    batch_content_type,
    encode_batch,
)

MAX_PART_BYTES = 256
MAX_INPUT_BYTES = 1_024
SLACK_BYTES = 400
"""What the decoder may hold beside a part and a chunk: a delimiter line that is coming in."""

BOUNDARIES = ("b", "batch_foobarbaz", "-", "a-b", "x" * 70)

PART = (
    b"--b\r\nContent-Type: application/http\r\nContent-ID: <response-1>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n"
)
CORPUS = (
    PART + b"--b--\r\n",
    PART + PART + b"--b--",
    b"preamble\r\n" + PART.replace(b"\r\n", b"\n") + b"--b--\nepilogue",
    PART.replace(b"200 OK", b"403 Forbidden").replace(b"Content-Length: 2", b"Content-Length: 99"),
    b"--b" + b" " * 130 + b"\r\n--b--",
    b"--b\r\nA: b\r\n c\r\n\r\nHTTP/1.1 500\r\n\r\n\r\n--b--",
    b"--b\n\n\n--b-\n--bb\n--b--",
    b"",
)


class BrokenRuleError(AssertionError):
    """A rule of the decoder was broken."""


def check(data: bytes) -> None:
    """Decode an input in three ways, and hold every rule.

    The first two bytes choose the boundary and how the rest is split.

    Raises:
        BrokenRuleError: and whatever else the decoder lets out.
    """
    choice, split, body = (data[:1] or b"\0")[0], (data[1:2] or b"\0")[0], data[2:]
    boundary = BOUNDARIES[choice % len(BOUNDARIES)] if choice < 128 else "b"
    whole = decode(boundary, [body])
    pieces = decode(boundary, _split(body, 1 + split % 7))
    halves = decode(boundary, [body[: split * 4], body[split * 4 :]])
    # Which of two things that are wrong comes up first may depend on where the bytes were split.
    verdicts = [(parts, bool(problem)) for parts, problem in (whole, pieces, halves)]
    if not verdicts[0] == verdicts[1] == verdicts[2]:
        raise BrokenRuleError(f"the same bytes differ: {whole}, {pieces}, {halves}")
    parts, _ = whole
    if sum(len(part.content) for part in parts) > len(body):
        raise BrokenRuleError("more came out than went in")
    _check_embedded(body, boundary)


def decode(boundary: str, chunks: Sequence[bytes]) -> tuple[list[BatchPart], str]:
    """The parts, and what is wrong with the rest."""
    decoder = MultipartDecoder(batch_content_type(boundary), max_part_bytes=MAX_PART_BYTES)
    parts: list[BatchPart] = []
    try:
        for chunk in chunks:
            parts += decoder.feed(chunk)
            held = len(decoder._buffer)
            if held > MAX_PART_BYTES + len(boundary) + SLACK_BYTES:
                raise BrokenRuleError(f"{held} bytes are held")
        decoder.close()
    except MalformedResponseError as error:
        return parts, str(error)
    return parts, ""


def _split(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def _check_embedded(body: bytes, boundary: str) -> None:
    """Whatever the content of a part is, it comes out as it went in."""
    delimiter = b"--" + boundary.encode()
    if len(body) > MAX_PART_BYTES // 2 or delimiter in body:
        return
    calls = [BatchCall("1", "POST", "/x", body), BatchCall("2", "POST", "/x", b"{}")]
    message = encode_batch(calls, boundary).replace(b"POST /x HTTP/1.1", b"HTTP/1.1 200 OK")
    parts, problem = decode(boundary, [b"preamble\r\n" + message + b"epilogue"])
    if [part.content for part in parts] != [body, b"{}"] or problem:
        raise BrokenRuleError(f"a valid answer was decoded as {parts}, {problem}")


# The fuzzers.


@attrs.frozen
class FuzzReport:
    """What came out."""

    engine: str
    inputs: int
    coverage: str
    """What the engine says of it, or nothing."""


def mutate(chance: random.Random) -> bytes:
    """An input from the corpus, with blind damage."""
    data = bytearray(bytes([128, chance.randrange(256)]) + chance.choice(CORPUS))
    for _ in range(chance.randrange(6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[place:place] = chance.choice((b"\r\n", b"--b", b"--b--", b"\0", b":", b" "))
            case 1:
                del data[place : place + chance.randrange(1, 9)]
            case 2:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 3:
                data[place:place] = chance.choice(CORPUS)
            case _:
                data[place:place] = data[:place]
    return bytes(data[:MAX_INPUT_BYTES])


def fuzz_blindly(inputs: int, seed: int) -> FuzzReport:
    """Mutate the corpus.

    Raises:
        click.ClickException: an input breaks a rule; with the command that replays it.
    """
    chance = random.Random(seed)
    for _ in range(inputs):
        data = mutate(chance)
        try:
            check(data)
        except Exception as error:
            raise click.ClickException(_broken(data, error)) from error
    return FuzzReport("blind mutation", inputs, "")


def _broken(data: bytes, error: Exception) -> str:
    return (
        f"{type(error).__name__}: {error}\n"
        f"replay: python -m tests.soak.fuzz_multipart --replay {data.hex()}"
    )


def fuzz_guided(inputs: int, seed: int) -> FuzzReport:
    """Run atheris in a process of its own, since it ends the process that it runs in.

    Raises:
        click.ClickException: an input breaks a rule; with the command that replays it.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, body in enumerate(CORPUS):
            (corpus / str(number)).write_bytes(b"\x80\x03" + body)
        command = [sys.executable, "-m", "tests.soak.fuzz_multipart", "--atheris"]
        options = [f"-runs={inputs}", f"-seed={seed}", f"-max_len={MAX_INPUT_BYTES}"]
        result = subprocess.run(
            [*command, *options, f"-artifact_prefix={folder}/", str(corpus)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        crashes = [each.read_bytes() for each in Path(folder).glob("crash-*")]
        if crashes or result.returncode:
            data = crashes[0] if crashes else b""
            raise click.ClickException(_broken(data, RuntimeError(result.stderr[-2_000:])))
    states = [line for line in result.stderr.splitlines() if " cov: " in line]
    coverage = states[-1].partition(" cov: ")[2].partition(" exec/s")[0] if states else ""
    return FuzzReport("atheris", inputs, f"cov: {coverage}" if coverage else "")


def run_atheris(arguments: list[str]) -> None:
    """Never comes back."""
    import atheris  # an extra

    from gsc_trio.wire import multipart

    for owner in (multipart, MultipartDecoder):
        for name, value in list(vars(owner).items()):
            if isinstance(value, FunctionType) and value.__module__ == multipart.__name__:
                setattr(owner, name, atheris.instrument_func(value))
    atheris.Setup([sys.argv[0], *arguments], check)
    atheris.Fuzz()


def fuzz(inputs: int, seed: int = 0) -> FuzzReport:
    """Fuzz as well as it can be done here."""
    try:
        import atheris  # noqa: F401 - an extra
    except ImportError:
        return fuzz_blindly(inputs, seed)
    return fuzz_guided(inputs, seed)


@click.command(
    "python -m tests.soak.fuzz_multipart", context_settings={"ignore_unknown_options": True}
)
@click.option("--inputs", default=1_000_000, show_default=True, help="How many to try.")
@click.option("--seed", default=1, show_default=True, help="What they follow from.")
@click.option("--replay", metavar="HEX", help="Try just this input.")
@click.option("--atheris", "is_child", is_flag=True, hidden=True)
@click.argument("arguments", nargs=-1)
def main(
    *, inputs: int, seed: int, replay: str | None, is_child: bool, arguments: tuple[str, ...]
) -> None:
    """Look for input that breaks the multipart decoder."""
    if is_child:
        run_atheris(list(arguments))
    elif replay is not None:
        check(bytes.fromhex(replay))
        click.echo("no rule is broken")
    else:
        click.echo(f"0 broken: {fuzz(inputs, seed)}")


if __name__ == "__main__":
    main()
