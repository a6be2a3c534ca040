"""The audit log: who did what to what, and how it ended; appended to, never changed."""

from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from services.keys import Now, Principal, now_utc
from services.store.protocol import Store

LOG = "audit"

Result = Literal["done", "refused", "failed"]


class AuditEntry(BaseModel):
    """One line: the principal (empty for the server itself or an unknown caller), the action and its end."""

    model_config = ConfigDict(frozen=True)

    seq: int = 0
    at: datetime
    key_id: str = ""
    name: str = ""
    role: str = ""
    address: str = ""
    action: str  # a noun and a past participle, such as model.activated
    target: str = ""
    result: Result = "done"
    request_id: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)


class Audit:
    """The log in `store`; nothing here removes entries."""

    def __init__(self, store: Store, now: Now = now_utc) -> None:
        self._store = store
        self._now = now

    def record(
        self,
        who: Principal | None,
        action: str,
        target: str = "",
        result: Result = "done",
        *,
        address: str = "",
        request_id: str = "",
        **detail: Any,
    ) -> AuditEntry:
        """Append one line; `detail` is JSON and must hold no secrets."""
        entry = AuditEntry(
            at=self._now(),
            key_id=who.key_id if who else "",
            name=who.name if who else "",
            role=who.role if who else "",
            address=address,
            action=action,
            target=target,
            result=result,
            request_id=request_id,
            detail=detail,
        )
        body = orjson.dumps(entry.model_dump(mode="json", exclude={"seq"}))
        return entry.model_copy(update={"seq": self._store.append(LOG, action, entry.at, body).seq})

    def list(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """The newest lines first; `before` is the seq of the last line of the page before."""
        last = self._store.span(LOG)[1] if before is None else before - 1
        after = max(0, last - limit)
        entries = self._store.read(LOG, after=after, limit=last - after) if last > after else []
        return [AuditEntry.model_validate({**orjson.loads(e.body), "seq": e.seq}) for e in reversed(entries)]
