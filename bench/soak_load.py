"""Constant load on a server while models are swapped, and what must be true of every answer afterwards."""

import asyncio
import heapq
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from bench.soak_models import FEATURES, soak_models

PATH = "/api/v1/ml/predict/spot-interruption?include=features"
ANSWER_PATIENCE_S = 30.0
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """One prediction; times are on the monotonic clock."""

    began: float
    ended: float
    model_id: str
    generation: int
    value: float
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Swap:
    """One activation as its caller saw it."""

    began: float
    ended: float
    model_id: str
    generation: int


@dataclass
class Load:
    """`connections` clients, each asking again as soon as it is answered, until `stop`."""

    url: str
    token: str
    connections: int = 16
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reconnected: int = 0  # kept-alive connections that the server closed between two requests
    stopped: bool = False

    async def run(self) -> None:
        """Ask until somebody sets `stopped`."""
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        wire: Wire | None = None
        while not self.stopped:
            began = time.monotonic()
            try:
                fresh = wire is None
                wire = wire or await Wire.open(self.url, self.token)
                status, body = await asyncio.wait_for(wire.ask(), ANSWER_PATIENCE_S)
            except IdleConnectionClosed:
                self.reconnected += 1
                wire = None
                if fresh:
                    self.failures.append("a new connection was closed")
                continue
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                wire = None
                continue
            self._take(began, time.monotonic(), status, body)
        if wire is not None:
            wire.close()

    def _take(self, began: float, ended: float, status: int, body: bytes) -> None:
        if status != 200:
            self.failures.append(f"{status}: {body[:300].decode(errors='replace')}")
            return
        told = json.loads(body)
        features = tuple(float(told["features"][name]) for name in FEATURES)
        self.answers.append(
            Answer(
                began, ended, told["model_id"], told["generation"], float(told["interruption_probability"]), features
            )
        )


class IdleConnectionClosed(Exception):
    """The server closed the connection without a byte of an answer, as it may between two requests."""


class Wire:
    """One kept-alive HTTP/1.1 connection that asks the same question again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request

    @classmethod
    async def open(cls, url: str, token: str) -> "Wire":
        """Connect; raises OSError."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        body = json.dumps({"instance_type": "m5.large", "region": "us-east-1"}).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return cls(reader, writer, head.encode() + body)

    async def ask(self) -> tuple[int, bytes]:
        """Status and body; raises `IdleConnectionClosed`, OSError, EOFError."""
        try:
            self._writer.write(self._request)
            await self._writer.drain()
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise IdleConnectionClosed from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise IdleConnectionClosed from error
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split(" ", 2)[1]), await self._reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def wrong_values(answers: Sequence[Answer]) -> int:
    """Answers that are not what their version says of their features, or that another version says too."""
    wrong = 0
    rows = np.array([answer.features for answer in answers], np.float64).reshape(-1, len(FEATURES))
    values = np.array([answer.value for answer in answers])
    names = np.array([answer.model_id for answer in answers])
    models = soak_models()
    for model_id, model in models.items():
        own = names == model_id
        if not own.any():
            continue
        wrong += int((~np.isclose(values[own], model.expects(rows[own]), rtol=0, atol=TOLERANCE)).sum())
        for other_id, other in models.items():
            if other_id != model_id:
                wrong += int(np.isclose(values[own], other.expects(rows[own]), rtol=0, atol=1e-6).sum())
    return wrong + int((~np.isin(names, list(models))).sum())


def wrong_pairs(answers: Sequence[Answer], swaps: Sequence[Swap]) -> int:
    """Answers whose generation is another version's."""
    version = {swap.generation: swap.model_id for swap in swaps}
    return sum(answer.model_id != version.get(answer.generation, answer.model_id) for answer in answers)


def steps_back(answers: Sequence[Answer]) -> int:
    """Answers of an older generation than an answer that had arrived before they were asked for; one replica only."""
    seen, arrived, back = 0, list[tuple[float, int]](), 0
    for answer in sorted(answers, key=lambda one: one.began):
        while arrived and arrived[0][0] <= answer.began:
            seen = max(seen, heapq.heappop(arrived)[1])
        back += answer.generation < seen
        heapq.heappush(arrived, (answer.ended, answer.generation))
    return back


def late_answers(answers: Sequence[Answer], swaps: Sequence[Swap]) -> Iterator[float]:
    """For each answer older than a swap that had been confirmed before it was asked for: by how many seconds."""
    confirmed = sorted(swaps, key=lambda swap: swap.ended)
    place, newest = 0, 0
    for answer in sorted(answers, key=lambda one: one.began):
        while place < len(confirmed) and confirmed[place].ended <= answer.began:
            newest = max(newest, confirmed[place].generation)
            place += 1
        if answer.generation < newest:
            outdated_at = min(swap.ended for swap in confirmed[:place] if swap.generation > answer.generation)
            yield answer.began - outdated_at
