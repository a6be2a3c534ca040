"""Who may come in: browser sessions, keys, and the audit log of what was done."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import COOKIE, needs, session_cookie
from services.errors import RequestInvalid, Unauthenticated
from services.keys import Role

router = APIRouter(prefix=PREFIX, tags=["auth"])


class SignIn(BaseModel):
    """A token, or the one-use code of a sign-in link."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(None, max_length=512)
    code: str | None = Field(None, max_length=512)


class KeyOrder(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    role: Role
    expires_in_days: float | None = Field(None, gt=0, le=3650)


@router.post("/auth/session")
@needs(None)
def sign_in(house: InHouse, request: Request, response: Response, order: SignIn) -> dict[str, Any]:
    """Turn a token or a code into a session cookie, for browsers."""
    address = request.client.host if request.client else ""
    house.failed_sign_ins.check(address)
    try:
        if order.token:
            principal = house.keys.verify(order.token)
        elif order.code:
            principal = house.sessions.redeem_code(order.code)
        else:
            raise RequestInvalid("token", "neither a token nor a code was sent.", "Send one of them.")
    except Unauthenticated:
        house.failed_sign_ins.failed(address)
        house.audit.record(None, "session.refused", address=address, result="refused")
        raise
    house.failed_sign_ins.succeeded(address)
    response.set_cookie(
        COOKIE,
        house.sessions.create_session(principal),
        httponly=True,
        samesite="strict",
        secure=not house.settings.loopback,
        path="/",
        max_age=12 * 3600,
    )
    record(house, principal, "session.started", principal.key_id)
    return {"name": principal.name, "role": principal.role}


@router.get("/auth/session")
@needs("viewer")
def whoami(who: Who) -> dict[str, Any]:
    """Who is asking."""
    return {"name": who.name, "role": who.role}


@router.delete("/auth/session")
@needs("viewer")
def sign_out(house: InHouse, request: Request, response: Response) -> dict[str, Any]:
    """End the session of the cookie."""
    if cookie := session_cookie(request.headers):
        house.sessions.end_session(cookie)
    response.delete_cookie(COOKIE, path="/")
    return {"signed_out": True}


@router.get("/keys")
@needs("admin")
def list_keys(house: InHouse) -> list[dict[str, Any]]:
    """Every key, without its secret."""
    return [key.row() for key in house.keys.list()]


@router.post("/keys", status_code=201)
@needs("admin")
def create_key(house: InHouse, who: Who, order: KeyOrder) -> dict[str, Any]:
    """A new key; its token is shown here and never again."""
    expires = timedelta(days=order.expires_in_days) if order.expires_in_days else None
    key, token = house.keys.create(order.name, order.role, expires)
    record(house, who, "key.created", key.key_id, role=order.role)
    return {**key.row(), "token": token}


@router.delete("/keys/{key_id}")
@needs("admin")
def revoke_key(house: InHouse, who: Who, key_id: str) -> dict[str, Any]:
    """End a key, everywhere within a second."""
    key = house.keys.revoke(key_id)
    record(house, who, "key.revoked", key_id)
    return key.row()


@router.get("/audit")
@needs("admin")
def audit(
    house: InHouse, before: Annotated[int | None, Query(ge=1)] = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> list[dict[str, Any]]:
    """What was done, newest first."""
    return [entry.model_dump(mode="json") for entry in house.audit.list(before=before, limit=limit)]
