"""Whatever is asked of them, in whatever order, the stores answer alike."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.errors import StoreError
from services.store.checks import AT
from services.store.protocol import Lease, Store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore
from tests.redis_server import RedisServer

Ask = Callable[[Store], object]

NAMES = st.sampled_from(["a", "ab", "b", "b/1", "ü", "\U0001f600"])
KINDS = st.sampled_from(["k", "l"])
EXPECTED = st.none() | st.integers(0, 3)
FENCES = st.none() | st.builds(Lease, KINDS, NAMES, st.integers(1, 3))
VALUES = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), max_size=2)


def asks() -> st.SearchStrategy[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """A method, its values and its named values."""

    def ask(method: str, *values: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> Any:
        return st.tuples(st.just(method), st.tuples(*values), st.fixed_dictionaries(named))

    return st.one_of(
        ask("put", KINDS, NAMES, VALUES, expected=EXPECTED, fence=FENCES),
        ask("get", KINDS, NAMES),
        ask("find", KINDS, prefix=NAMES | st.just(""), limit=st.integers(0, 4), newest_first=st.booleans()),
        ask("delete", KINDS, NAMES, expected=EXPECTED, fence=FENCES),
        ask("next_number", NAMES),
        ask("append", KINDS, KINDS, st.just(AT), st.binary(max_size=4), fence=FENCES),
        ask("read", KINDS, after=st.integers(0, 6), kinds=st.lists(KINDS, max_size=2), limit=st.integers(0, 4)),
        ask("latest", KINDS, KINDS),
        ask("span", KINDS),
        ask("trim", KINDS, st.integers(0, 4)),
        ask("wait", KINDS, st.integers(0, 6), st.just(0)),
        ask("acquire", KINDS, NAMES, st.just(600)),
        ask("renew", st.builds(Lease, KINDS, NAMES, st.integers(1, 3)), st.just(600)),
        ask("release", st.builds(Lease, KINDS, NAMES, st.integers(1, 3))),
        ask("generation", KINDS),
    )


def answer(store: Store, method: str, values: tuple[Any, ...], named: dict[str, Any]) -> object:
    """What the store returns, or the error that it raises."""
    try:
        return getattr(store, method)(*values, **named)
    except StoreError as error:
        return (type(error), error.args)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(asks(), min_size=5, max_size=40))
def test_stores_agree(redis_server: RedisServer, script: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    address = RedisAddress("127.0.0.1", redis_server.port, namespace=uuid4().hex)
    with TemporaryDirectory() as folder:
        stores: list[Store] = [SqliteStore(Path(folder) / "store.sqlite3"), RedisStore(address)]
        try:
            for ask in script:
                one, other = (answer(store, *ask) for store in stores)
                assert one == other, ask
        finally:
            for store in stores:
                with suppress(StoreError):
                    store.close()
