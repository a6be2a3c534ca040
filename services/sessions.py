"""Browser sessions and the one-use codes that begin them; the store has only their hashes."""

import secrets
import threading
import time
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from services.errors import RevisionConflict, Unauthenticated
from services.keys import Keys, Now, Principal, now_utc, token_hash
from services.store.protocol import Store

SESSION = "session"
CODE = "sign_in_code"
SESSION_LASTS = timedelta(hours=12)
CODE_LASTS = timedelta(minutes=10)
CACHE_S = 1.0
CACHED = 1000
SWEEP_LIMIT = 1000


class Grant(BaseModel):
    """What a cookie or a code stands for: one key, as it was when the grant was made."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    key_sha256: str
    expires_at: datetime


class Sessions:
    """Sessions and codes in `store`, for keys of `keys`.

    A session ends with its key: revoked, expired or replaced. A check that succeeded holds for a second, so that a busy
    page costs no I/O; a session ended in another process is refused within that second.
    """

    def __init__(self, store: Store, keys: Keys, now: Now = now_utc) -> None:
        self._store = store
        self._keys = keys
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[Grant, float]] = {}

    def create_session(self, principal: Principal) -> str:
        """A cookie value, good for 12 hours."""
        self._sweep(SESSION)
        return self._grant(SESSION, principal, SESSION_LASTS)

    def verify_session(self, cookie: str) -> Principal:
        """Whose session it is; raises `Unauthenticated`."""
        hashed = token_hash(cookie)
        grant = self._cached(hashed)
        if grant is None:
            document = self._store.get(SESSION, hashed)
            if document is None:
                raise Unauthenticated("the session is unknown or has ended")
            grant = Grant.model_validate(document.value)
            self._cache(hashed, grant)
        return self._principal(grant)

    def end_session(self, cookie: str) -> None:
        """Sign out; nothing happens when there is no such session."""
        hashed = token_hash(cookie)
        with self._lock:
            self._seen.pop(hashed, None)
        self._store.delete(SESSION, hashed)

    def create_code(self, principal: Principal) -> str:
        """A sign-in code, good for one use within 10 minutes."""
        self._sweep(CODE)
        return self._grant(CODE, principal, CODE_LASTS)

    def redeem_code(self, code: str) -> Principal:
        """Whose code it is, using it up; of several who try at once one succeeds. Raises `Unauthenticated`."""
        hashed = token_hash(code)
        document = self._store.get(CODE, hashed)
        try:
            if document is None or not self._store.delete(CODE, hashed, expected=document.revision):
                raise Unauthenticated("the sign-in code is unknown, used or expired")
        except RevisionConflict as error:
            raise Unauthenticated("the sign-in code is unknown, used or expired") from error
        return self._principal(Grant.model_validate(document.value))

    def _grant(self, kind: str, principal: Principal, lasts: timedelta) -> str:
        key = self._keys.known(principal.key_id)
        if key is None:
            raise Unauthenticated("the key is unknown")
        secret = secrets.token_urlsafe(32)
        grant = Grant(key_id=key.key_id, key_sha256=key.sha256, expires_at=self._now() + lasts)
        self._store.put(kind, token_hash(secret), grant.model_dump(mode="json"), expected=0)
        return secret

    def _principal(self, grant: Grant) -> Principal:
        at = self._now()
        key = self._keys.known(grant.key_id)
        if at >= grant.expires_at or key is None or key.sha256 != grant.key_sha256 or not key.usable(at):
            raise Unauthenticated("the session or its key has ended")
        return Principal(key.key_id, key.name, key.role)

    def _cached(self, hashed: str) -> Grant | None:
        grant, until = self._seen.get(hashed, (None, 0.0))
        return grant if time.monotonic() < until else None

    def _cache(self, hashed: str, grant: Grant) -> None:
        with self._lock:
            if len(self._seen) >= CACHED:
                self._seen.clear()
            self._seen[hashed] = (grant, time.monotonic() + CACHE_S)

    def _sweep(self, kind: str) -> None:
        """Remove what has expired, so that the store does not fill."""
        at = self._now()
        for document in self._store.find(kind, limit=SWEEP_LIMIT):
            if at >= Grant.model_validate(document.value).expires_at:
                self._store.delete(kind, document.key)
