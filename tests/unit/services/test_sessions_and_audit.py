"""Browser sessions, sign-in codes and the audit log over a real store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.audit import Audit
from services.errors import Unauthenticated
from services.keys import Keys, Principal
from services.sessions import Sessions
from services.store.checks_shared import eventually
from services.store.sqlite import SqliteStore

ADMIN_TOKEN = "an-operators-own-token-of-good-length"


class Clock:
    """An instant that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.sqlite3")
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(store: SqliteStore, clock: Clock) -> Keys:
    return Keys(store, ADMIN_TOKEN, now=clock)


@pytest.fixture
def sessions(store: SqliteStore, keys: Keys, clock: Clock) -> Sessions:
    return Sessions(store, keys, now=clock)


@pytest.fixture
def person(keys: Keys) -> Principal:
    return keys.verify(keys.create("person", "operator")[1])


def refused(sessions: Sessions, cookie: str) -> bool:
    try:
        sessions.verify_session(cookie)
    except Unauthenticated:
        return True
    return False


def test_a_session_stands_for_its_key(store: SqliteStore, keys: Keys, sessions: Sessions, person: Principal) -> None:
    cookie = sessions.create_session(person)
    assert sessions.verify_session(cookie) == person
    assert Sessions(store, keys, now=sessions._now).verify_session(cookie) == person
    assert refused(sessions, cookie + "x")
    assert cookie.encode() not in b"".join(path.read_bytes() for path in store.path.parent.iterdir())


def test_a_session_ends_after_twelve_hours(sessions: Sessions, person: Principal, clock: Clock) -> None:
    cookie = sessions.create_session(person)
    clock.now += timedelta(hours=12, seconds=-1)
    assert sessions.verify_session(cookie) == person
    clock.now += timedelta(seconds=1)
    assert refused(sessions, cookie)


def test_signing_out_ends_the_session_everywhere(
    store: SqliteStore, keys: Keys, sessions: Sessions, person: Principal
) -> None:
    there = Sessions(store, keys, now=sessions._now)
    cookie = sessions.create_session(person)
    assert there.verify_session(cookie) == person
    sessions.end_session(cookie)
    sessions.end_session(cookie)
    assert refused(sessions, cookie)
    eventually(lambda: refused(there, cookie) or None)


def test_a_session_ends_with_its_key(keys: Keys, sessions: Sessions, person: Principal) -> None:
    cookie = sessions.create_session(person)
    code = sessions.create_code(person)
    keys.revoke(person.key_id)
    assert refused(sessions, cookie)
    with pytest.raises(Unauthenticated):
        sessions.redeem_code(code)


def test_a_changed_settings_token_ends_its_sessions(store: SqliteStore, sessions: Sessions, clock: Clock) -> None:
    admin = Keys(store, ADMIN_TOKEN).verify(ADMIN_TOKEN)
    cookie = sessions.create_session(admin)
    assert sessions.verify_session(cookie) == admin
    for keys in (Keys(store, ADMIN_TOKEN + "2"), Keys(store)):
        assert refused(Sessions(store, keys, now=clock), cookie)


def test_a_code_works_once(sessions: Sessions, person: Principal) -> None:
    code = sessions.create_code(person)
    with ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(sessions.redeem_code, code) for _ in range(8)]
    assert [tried.result() for tried in tries if tried.exception() is None] == [person]
    assert {type(tried.exception()) for tried in tries} == {Unauthenticated, type(None)}


def test_a_code_lasts_ten_minutes(sessions: Sessions, person: Principal, clock: Clock) -> None:
    early, late = sessions.create_code(person), sessions.create_code(person)
    clock.now += timedelta(minutes=9, seconds=59)
    assert sessions.redeem_code(early) == person
    clock.now += timedelta(seconds=1)
    with pytest.raises(Unauthenticated):
        sessions.redeem_code(late)


def test_a_code_is_no_session_and_a_session_no_code(sessions: Sessions, person: Principal) -> None:
    assert refused(sessions, sessions.create_code(person))
    with pytest.raises(Unauthenticated):
        sessions.redeem_code(sessions.create_session(person))


def test_what_expired_is_swept(store: SqliteStore, sessions: Sessions, person: Principal, clock: Clock) -> None:
    for _ in range(3):
        sessions.create_session(person)
        sessions.create_code(person)
    clock.now += timedelta(hours=13)
    sessions.create_session(person)
    sessions.create_code(person)
    assert len(store.find("session")) == len(store.find("sign_in_code")) == 1


def test_the_audit_log_says_who_did_what(store: SqliteStore, clock: Clock, person: Principal) -> None:
    audit = Audit(store, now=clock)
    audit.record(None, "session.created", result="refused", address="10.0.0.9")
    audit.record(person, "model.activated", "price:v2", address="10.0.0.1", request_id="r1", previous="price:v1")
    newest, oldest = Audit(store).list()
    assert (newest.seq, newest.at, newest.key_id, newest.name, newest.role) == (2, clock.now, *_who(person))
    assert (newest.action, newest.target, newest.result) == ("model.activated", "price:v2", "done")
    assert (newest.address, newest.request_id, newest.detail) == ("10.0.0.1", "r1", {"previous": "price:v1"})
    assert (oldest.key_id, oldest.result, oldest.address) == ("", "refused", "10.0.0.9")


def test_the_audit_log_is_read_page_by_page(store: SqliteStore) -> None:
    audit = Audit(store)
    assert audit.list() == []
    for n in range(7):
        audit.record(None, "thing.done", str(n))
    first = audit.list(limit=3)
    second = audit.list(limit=3, before=first[-1].seq)
    last = audit.list(limit=3, before=second[-1].seq)
    assert [[line.target for line in page] for page in (first, second, last)] == [list("654"), list("321"), ["0"]]
    assert audit.list(before=1) == []


def _who(principal: Principal) -> tuple[str, str, str]:
    return (principal.key_id, principal.name, principal.role)
