"""The store on a Redis server: for servers that span machines."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from services.errors import LeaseLost, RevisionConflict, StoreTooNew, StoreUnavailable
from services.store import redis_scripts as scripts
from services.store.encoding import decode_value, encode_value, from_micros, to_micros
from services.store.protocol import SCHEMA_VERSION, Document, Entry, Lease

T = TypeVar("T")

SOCKET_TIMEOUT_S = 5.0
BLOCK_S = 1.0  # one blocking read; well under the socket's timeout, and how long `close` may go unseen


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis server is and how to sign in; `namespace` starts every key."""

    host: str
    port: int
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    namespace: str = "cloudoptim"

    def __repr__(self) -> str:
        return f"RedisAddress({self.host}:{self.port}/{self.db}, namespace={self.namespace!r})"


class RedisStore:
    """`services.store.protocol.Store` on a Redis server (6.2 or later); picklable, a copy connects anew.

    Reads are tried again after a lost connection. Writes are not, because the server may have made them before the
    answer was lost; the next write connects anew.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._closed = False
        self._reads = _connect(address, Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3))
        self._writes = _connect(address, Retry(NoBackoff(), 0))
        self._check_schema()

    def __reduce__(self) -> tuple[type["RedisStore"], tuple[RedisAddress]]:
        return (RedisStore, (self.address,))

    # Documents

    def get(self, kind: str, key: str) -> Document | None:
        stored = self._call(lambda: self._reads.hget(self._key("documents", kind), key))
        return None if stored is None else _document(kind, key, stored)

    def find(self, kind: str, *, prefix: str = "", limit: int = 1000, newest_first: bool = False) -> list[Document]:
        if limit <= 0:
            return []
        low = b"[" + prefix.encode()
        high = b"(" + prefix.encode() + b"\xff"
        keys = [self._key("documents", kind), self._key("index", kind)]
        flat = self._read(scripts.FIND, keys, [low, high, limit, "DESC" if newest_first else "ASC"])
        return [_document(kind, key.decode(), stored) for key, stored in zip(flat[::2], flat[1::2], strict=True)]

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        expected: int | None = None,
        fence: Lease | None = None,
    ) -> int:
        answer = self._change(scripts.PUT, kind, key, expected, fence, encode_value(value))
        return int(answer)

    def delete(self, kind: str, key: str, *, expected: int | None = None, fence: Lease | None = None) -> bool:
        return bool(self._change(scripts.DELETE, kind, key, expected, fence))

    def next_number(self, name: str) -> int:
        return int(self._call(lambda: self._writes.hincrby(self._key("numbers"), name, 1)))

    # Logs

    def append(self, log: str, kind: str, at: datetime, body: bytes, *, fence: Lease | None = None) -> Entry:
        micros = to_micros(at)
        lease, generation = self._fence(fence)
        keys = [lease, self._key("heads"), self._key("log", log), self._key("kinds", log), self._key("bell", log)]
        answer = self._write(scripts.APPEND, keys, [generation, log, kind, micros, body])
        return Entry(int(_result(answer, fence)), kind, from_micros(micros), bytes(body))

    def read(self, log: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> list[Entry]:
        if limit <= 0:
            return []
        first = f"{after + 1}-0"
        if kinds:
            return _entries(self._read(scripts.READ_KINDS, [self._key("log", log)], [first, limit, *kinds]))
        pages = self._call(
            lambda: self._reads.execute_command("XRANGE", self._key("log", log), first, "+", "COUNT", limit)
        )
        return _entries(pages)

    def latest(self, log: str, kind: str) -> Entry | None:
        found = _entries(self._read(scripts.LATEST, [self._key("log", log), self._key("kinds", log)], [kind]))
        return found[0] if found else None

    def span(self, log: str) -> tuple[int, int]:
        oldest, newest = self._read(scripts.SPAN, [self._key("heads"), self._key("log", log)], [log])
        return (int(oldest), int(newest))

    def trim(self, log: str, keep: int) -> int:
        return int(self._write(scripts.TRIM, [self._key("log", log), self._key("bell", log)], [keep]))

    def wait(self, log: str, after: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._rings(log, after, min(BLOCK_S, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                return False
        return True

    def _rings(self, log: str, after: int, block_s: float) -> bool:
        """Whether the bell has rung for a later entry; blocks for it when `block_s` is positive."""
        block = max(1, int(block_s * 1000)) if block_s > 0 else None
        position = {self._key("bell", log): f"{after}-0"}
        return bool(self._call(lambda: self._reads.xread(position, count=1, block=block)))

    # Leases

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        generation = self._write(scripts.ACQUIRE, [self._key("lease", name)], [holder, _millis(ttl_s)])
        return Lease(name, holder, int(generation)) if generation else None

    def renew(self, lease: Lease, ttl_s: float) -> None:
        arguments = [lease.holder, lease.generation, _millis(ttl_s)]
        _result(self._write(scripts.RENEW, [self._key("lease", lease.name)], arguments), lease)

    def release(self, lease: Lease) -> None:
        self._write(scripts.RELEASE, [self._key("lease", lease.name)], [lease.generation])

    def generation(self, name: str) -> int:
        return int(self._call(lambda: self._reads.hget(self._key("lease", name), "generation")) or 0)

    def close(self) -> None:
        self._closed = True
        self._reads.close()
        self._writes.close()

    # The border to redis

    def _key(self, *parts: str) -> str:
        """The braces keep all keys of a namespace in one slot of a Redis cluster, as the scripts need."""
        return ":".join((f"{{{self.address.namespace}}}", *parts))

    def _fence(self, fence: Lease | None) -> tuple[str, str]:
        if fence is None:
            return (self._key("lease", ""), "")
        return (self._key("lease", fence.name), str(fence.generation))

    def _change(self, script: str, kind: str, key: str, expected: int | None, fence: Lease | None, *more: bytes) -> Any:
        lease, generation = self._fence(fence)
        keys = [lease, self._key("documents", kind), self._key("index", kind)]
        answer = self._write(script, keys, [generation, key, "" if expected is None else expected, *more])
        if answer[0] == b"conflict" and expected is not None:
            raise RevisionConflict(kind, key, expected, int(answer[1]))
        return _result(answer, fence)

    def _read(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self._call(lambda: self._reads.register_script(script)(keys, arguments))

    def _write(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self._call(lambda: self._writes.register_script(script)(keys, arguments))

    def _call(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            return work()
        except RedisError as error:
            where = f"redis at {self.address.host}:{self.address.port}"
            raise StoreUnavailable(f"{where}: {error}") from error

    def _check_schema(self) -> None:
        try:
            self._call(lambda: self._writes.set(self._key("schema_version"), SCHEMA_VERSION, nx=True))
            found = int(self._call(lambda: self._reads.get(self._key("schema_version"))) or 0)
            if found > SCHEMA_VERSION:
                raise StoreTooNew(found, SCHEMA_VERSION)
        except BaseException:
            self.close()
            raise


def _connect(address: RedisAddress, retry: Retry) -> Any:
    return Redis(
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.username,
        password=address.password,
        ssl=address.tls,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=retry,
    )


def _millis(ttl_s: float) -> int:
    return max(1, round(ttl_s * 1000))


def _result(answer: Any, fence: Lease | None) -> Any:
    if answer[0] == b"lost" and fence is not None:
        raise LeaseLost(fence.name, fence.generation, int(answer[1]))
    return answer[1]


def _document(kind: str, key: str, stored: bytes) -> Document:
    revision, _, encoded = stored.partition(b" ")
    return Document(kind, key, decode_value(encoded), int(revision))


def _entries(raw: Any) -> list[Entry]:
    return [_entry(identity, fields) for identity, fields in raw]


def _entry(identity: bytes, fields: Any) -> Entry:
    """Fields come as a flat list from a script, as a dictionary from a command."""
    named = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return Entry(int(identity.split(b"-")[0]), named[b"k"].decode(), from_micros(int(named[b"a"])), named[b"b"])
