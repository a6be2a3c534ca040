"""API keys over a real store: made, verified, revoked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.errors import RequestInvalid, StoreUnavailable, Unauthenticated
from services.keys import ROLES, Keys, Principal, Role
from services.store.checks_shared import eventually
from services.store.sqlite import SqliteStore

ADMIN_TOKEN = "an-operators-own-token-of-good-length"


class CountingStore(SqliteStore):
    """A real store that counts reads and can be told not to answer."""

    reads = 0
    down = False

    def get(self, kind: str, key: str):  # type: ignore[no-untyped-def]
        self._count()
        return super().get(kind, key)

    def find(self, kind: str, **how):  # type: ignore[no-untyped-def]
        self._count()
        return super().find(kind, **how)

    def _count(self) -> None:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("told not to answer")


class Clock:
    """An instant that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    store = CountingStore(tmp_path / "store.sqlite3")
    yield store
    store.close()


def refused(keys: Keys, token: str) -> bool:
    try:
        keys.verify(token)
    except Unauthenticated:
        return True
    return False


def test_a_key_opens_with_its_token_alone(store: CountingStore) -> None:
    keys = Keys(store)
    key, token = keys.create("dashboard", "viewer")
    assert token.startswith(f"co_{key.key_id}_")
    assert len(token) - len(f"co_{key.key_id}_") >= 43
    assert keys.verify(token) == Principal(key.key_id, "dashboard", "viewer")
    _, other = keys.create("other", "admin")
    swapped = f"co_{key.key_id}_{other.split('_', 2)[2]}"
    for wrong in (token[:-1], token + "x", token.upper(), swapped, "", "co_", "co__", "co_000000000000_x", "é"):
        assert refused(keys, wrong), wrong


def test_the_token_is_kept_nowhere(store: CountingStore) -> None:
    key, token = Keys(store).create("dashboard", "viewer")
    secret = token.split("_", 2)[2]
    files = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert key.key_id.encode() in files
    assert secret.encode() not in files
    assert "sha256" not in key.row()


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_those_below_it_may(role: Role) -> None:
    principal = Principal("id", "name", role)
    assert [needed for needed in ROLES if principal.may(needed)] == list(ROLES[: ROLES.index(role) + 1])


def test_an_expired_key_is_refused(store: CountingStore) -> None:
    clock = Clock()
    keys = Keys(store, now=clock)
    _, token = keys.create("short", "viewer", timedelta(minutes=5))
    clock.now += timedelta(minutes=5, microseconds=-1)
    assert keys.verify(token).name == "short"
    clock.now += timedelta(microseconds=1)
    assert refused(keys, token)


def test_revoking_is_for_good_and_reaches_other_servers(store: CountingStore) -> None:
    here, there = Keys(store), Keys(store)
    key, token = here.create("gone", "operator")
    assert there.verify(token).name == "gone"
    revoked = here.revoke(key.key_id)
    assert here.revoke(key.key_id) == revoked
    assert refused(here, token)
    eventually(lambda: refused(there, token) or None)
    assert [listed.revoked_at for listed in there.list()] == [revoked.revoked_at]
    with pytest.raises(RequestInvalid):
        here.revoke("unknown")


def test_a_key_made_elsewhere_opens_at_once(store: CountingStore) -> None:
    here, there = Keys(store), Keys(store)
    there.start()
    _, token = here.create("fresh", "viewer")
    assert there.verify(token).name == "fresh"
    there.close()


def test_verifying_a_known_key_reads_no_store(store: CountingStore) -> None:
    keys = Keys(store)
    _, token = keys.create("hot", "invoker")
    keys.start()
    keys.close()
    keys._refreshed_at = float("inf")
    before = store.reads
    for _ in range(100):
        keys.verify(token)
    assert store.reads == before


def test_unknown_ids_cannot_flood_the_store(store: CountingStore) -> None:
    keys = Keys(store)
    for n in range(2000):
        assert refused(keys, f"co_{n:012x}_secret")
    assert store.reads < 1000


def test_what_was_known_holds_while_the_store_is_away(store: CountingStore) -> None:
    keys = Keys(store)
    _, token = keys.create("steady", "viewer")
    store.down = True
    keys._refreshed_at = float("-inf")
    assert keys.verify(token).name == "steady"


def test_the_settings_token_is_an_admin_and_is_not_stored(store: CountingStore) -> None:
    keys = Keys(store, ADMIN_TOKEN)
    assert keys.verify(ADMIN_TOKEN).role == "admin"
    assert keys.create_first() is None
    assert keys.list() == []
    assert refused(Keys(store), ADMIN_TOKEN)


def test_the_first_start_makes_one_admin_key(store: CountingStore) -> None:
    keys = Keys(store)
    token = keys.create_first()
    assert token is not None
    assert keys.verify(token).role == "admin"
    assert Keys(store).create_first() is None
    keys.revoke(keys.list()[0].key_id)
    assert keys.create_first() is not None


@pytest.mark.parametrize(
    ("name", "role", "expires_in"),
    [
        ("", "viewer", None),
        ("x" * 101, "viewer", None),
        ("a\nb", "viewer", None),
        ("a", "root", None),
        ("a", "viewer", timedelta(0)),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(
    store: CountingStore, name: str, role: Role, expires_in: timedelta | None
) -> None:
    with pytest.raises(RequestInvalid):
        Keys(store).create(name, role, expires_in)
    assert Keys(store).list() == []
