"""API keys: made, listed, revoked in the store, and verified from memory."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from services.errors import RequestInvalid, RevisionConflict, StoreError, Unauthenticated
from services.limits import Rate
from services.store.protocol import Store

Role = Literal["viewer", "invoker", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may

KIND = "api_key"
SETTINGS_KEY_ID = "settings"
FIRST_ADMIN = "first admin"
REFRESH_S = 1.0
ALL_KEYS = 100_000
UNKNOWN_LOOKUPS_PER_MINUTE = 600

Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking."""

    key_id: str
    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        """Whether this role reaches `needed`."""
        return ROLES.index(self.role) >= ROLES.index(needed)


class ApiKey(BaseModel):
    """A key as it is kept and listed; the token itself is kept nowhere."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    sha256: str = ""

    def usable(self, at: datetime) -> bool:
        """Whether it opens anything at `at`."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def row(self) -> dict[str, object]:
        """The JSON form of lists: without the hash."""
        return self.model_dump(mode="json", exclude={"sha256"})


def now_utc() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal; fit for tokens of 256 random bits, not for passwords."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


class Keys:
    """The keys in `store`, and the one of the settings (`admin_token`), which is never stored.

    `verify` reads memory only, except for the first call and for ids it does not know. Memory follows the store within
    a second: on its own thread after `start`, otherwise inside `verify`. While the store does not answer, what was
    known last still holds.
    """

    def __init__(self, store: Store, admin_token: str | None = None, now: Now = now_utc) -> None:
        self._store = store
        self._now = now
        self._known: dict[str, ApiKey] = {}
        self._fixed: dict[str, ApiKey] = {}
        self._refreshed_at = float("-inf")
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._unknown = Rate(UNKNOWN_LOOKUPS_PER_MINUTE)
        self._settings_hash = ""
        if admin_token:
            self._settings_hash = token_hash(admin_token)
            key = ApiKey(
                key_id=SETTINGS_KEY_ID,
                name="ML_SERVER_ADMIN_TOKEN",
                role="admin",
                created_at=now(),
                sha256=self._settings_hash,
            )
            self._fixed[SETTINGS_KEY_ID] = key

    # Made, listed, revoked

    def create(self, name: str, role: Role, expires_in: timedelta | None = None) -> tuple[ApiKey, str]:
        """A new key and its token, which is shown here and never again."""
        if not 0 < len(name.strip()) <= 100 or not name.isprintable():
            raise RequestInvalid("name", "a key's name has 1 to 100 printable characters", "say what will use the key")
        if role not in ROLES:
            raise RequestInvalid("role", f"there is no role {role!r}", f"one of {', '.join(ROLES)}")
        if expires_in is not None and expires_in <= timedelta(0):
            raise RequestInvalid("expires_in", "a key cannot expire before it is made", "give a duration above zero")
        key_id = secrets.token_hex(6)
        token = f"co_{key_id}_{secrets.token_urlsafe(32)}"
        made = self._now()
        key = ApiKey(
            key_id=key_id,
            name=name.strip(),
            role=role,
            created_at=made,
            expires_at=made + expires_in if expires_in else None,
            sha256=token_hash(token),
        )
        self._store.put(KIND, key_id, key.model_dump(mode="json"), expected=0)
        self._remember(key)
        return key, token

    def create_first(self) -> str | None:
        """The token of a new admin key when nobody has a usable one; None when somebody has, or is just making it."""
        if self._fixed:
            return None
        lease = self._store.acquire("first_admin_key", secrets.token_hex(8), 30)
        if lease is None:
            return None
        try:
            at = self._now()
            if any(key.role == "admin" and key.usable(at) for key in self.list()):
                return None
            return self.create(FIRST_ADMIN, "admin")[1]
        finally:
            self._store.release(lease)

    def list(self) -> list[ApiKey]:
        """All keys in the store, oldest first, revoked and expired ones too."""
        keys = [ApiKey.model_validate(document.value) for document in self._store.find(KIND, limit=ALL_KEYS)]
        return sorted(keys, key=lambda key: (key.created_at, key.key_id))

    def revoke(self, key_id: str) -> ApiKey:
        """Close a key for good; other processes follow within a second. Raises `RequestInvalid` when there is none."""
        while True:
            document = self._store.get(KIND, key_id)
            if document is None:
                raise RequestInvalid("key_id", f"there is no key {key_id!r}", "see the list of keys")
            key = ApiKey.model_validate(document.value)
            if key.revoked_at is None:
                key = key.model_copy(update={"revoked_at": self._now()})
                try:
                    self._store.put(KIND, key_id, key.model_dump(mode="json"), expected=document.revision)
                except RevisionConflict:
                    continue
            self._remember(key)
            return key

    # Verified

    def verify(self, token: str) -> Principal:
        """Who holds `token`; raises `Unauthenticated`, in the same words whatever is wrong with it."""
        hashed = token_hash(token)
        if self._settings_hash and hmac.compare_digest(hashed, self._settings_hash):
            return _principal(self._fixed[SETTINGS_KEY_ID])
        key = self.known(_key_id(token))
        # An unknown id is compared as well, so that the time taken does not tell which ids exist.
        matches = hmac.compare_digest(hashed, key.sha256 if key else "0" * 64)
        if key is None or not matches or not key.usable(self._now()):
            raise Unauthenticated("the token is unknown, expired or revoked")
        return _principal(key)

    def known(self, key_id: str) -> ApiKey | None:
        """The key as memory has it; one that memory does not have is looked up, at a limited rate."""
        if fixed := self._fixed.get(key_id):
            return fixed
        if self._thread is None and time.monotonic() - self._refreshed_at >= REFRESH_S:
            self._refresh_or_keep()
        key = self._known.get(key_id)
        if key is None and key_id and self._unknown.try_spend("all"):
            document = self._store.get(KIND, key_id)
            key = ApiKey.model_validate(document.value) if document else None
            if key is not None:
                self._remember(key)
        return key

    def refresh(self) -> None:
        """Read all keys anew."""
        with self._lock:
            self._known = {key.key_id: key for key in self.list()}
            self._refreshed_at = time.monotonic()

    def start(self) -> None:
        """Follow the store on a thread of its own, so that `verify` does no I/O."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the store stays open."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _follow(self) -> None:
        while not self._stopping.wait(REFRESH_S):
            self._refresh_or_keep()

    def _refresh_or_keep(self) -> None:
        try:
            self.refresh()
        except StoreError:
            self._refreshed_at = time.monotonic()

    def _remember(self, key: ApiKey) -> None:
        with self._lock:
            self._known = {**self._known, key.key_id: key}


def _principal(key: ApiKey) -> Principal:
    return Principal(key.key_id, key.name, key.role)


def _key_id(token: str) -> str:
    """The id inside `co_<id>_<secret>`; "" for anything else."""
    parts = token.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "co" and len(parts[1]) == 12 else ""
