"""`/api/v1/keys` and `/api/v1/audit`: make, list, rotate and revoke keys, and read who did what.

A key is shown in the answer that makes it and never again. Each change and its entry in the audit log are one
transaction. An administrator of one tenant sees and makes keys of that tenant only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiohttp import web

from scheduler.daemon.api_errors import ApiError, invalid, not_found, unavailable
from scheduler.daemon.audit import AuditLog
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard, caller_of
from scheduler.daemon.http import REQUEST_ID, Policies, read_json_body, refuse_other_origins, whole
from scheduler.keys import GRANTABLE, MAX_NAME, Caller, Key, KeyState, Scope, key_text, rotated, sha256_of
from scheduler.quantities import QuantityError, format_instant, parse_duration_s
from scheduler.store.access_contract import AuditEntry
from scheduler.store.contract import DiskFullError, Reads, Store, StoreBusyError

POLICIES: Policies = {
    "POST /api/v1/keys": Scope.ADMIN,
    "GET /api/v1/keys": Scope.ADMIN,
    "POST /api/v1/keys/{id}/revoke": Scope.ADMIN,
    "POST /api/v1/keys/{id}/rotate": Scope.ADMIN,
    "GET /api/v1/audit": Scope.ADMIN,
}

_MAX_BODY_BYTES = 16 * 1024
MAX_TENANT = 200
_LONGEST_LIFE_S = 10 * 366 * 86_400.0
_LONGEST_OVERLAP_S = 30 * 86_400.0
_DEFAULT_PAGE, _LONGEST_PAGE = 100, 1000
_RETRY_AFTER_S = 5.0


class KeyFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to be made; `expires` is a duration from now."""

    scopes: list[str]
    tenant: str | None = None
    expires: str | None = None
    name: str = ""


class RotationFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long the old key stays good beside the new one."""

    overlap: str = "24h"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysApi:
    """The handlers."""

    env: Env
    reads: Reads
    guard: Guard
    audit: AuditLog

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/v1/keys", self.create)
        app.router.add_get("/api/v1/keys", self.listing, allow_head=False)
        app.router.add_post("/api/v1/keys/{id}/revoke", self.revoke)
        app.router.add_post("/api/v1/keys/{id}/rotate", self.rotate)
        app.router.add_get("/api/v1/audit", self.log, allow_head=False)

    # -- handlers -----------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        """201 with the key, this once."""
        refuse_other_origins(request)
        asked, caller = await fields_of(request, KeyFields), caller_of(request)
        if not caller.acts_for(asked.tenant or ""):
            raise _other_tenant(caller)
        key, text = self._made(asked, caller)
        if not self.guard.asks_for_keys:
            _refuse_lockout(key)
        await self._write(request, key.id, lambda store: store.add_key(key))
        self.guard.keyring.put(key)
        return unstored(201, {**self._described(key), "key": text})

    async def listing(self, request: web.Request) -> web.Response:
        """Every key that the caller may administer, the ended ones too."""
        caller = caller_of(request)
        try:
            found = await self.env.in_thread(self.reads.keys)
        except StoreBusyError as error:
            raise busy(error) from None
        shown = [self._described(key) for key in found if caller.acts_for(key.tenant or "")]
        return unstored(200, {"object": "list", "data": shown})

    async def revoke(self, request: web.Request) -> web.Response:
        """No longer good from now on; revoked before, it stays as it is."""
        refuse_other_origins(request)
        key = self._known(request)
        if key.revoked_at_s is None:
            key = replace(key, revoked_at_s=self.env.now_s())
            await self._write(request, key.id, lambda store: store.write_key(key))
            self.guard.keyring.put(key)
        return unstored(200, self._described(key))

    async def rotate(self, request: web.Request) -> web.Response:
        """201 with a new key in place of this one, which stays good for the overlap."""
        refuse_other_origins(request)
        asked, old = await fields_of(request, RotationFields), self._known(request)
        if old.state(self.env.now_s()) is not KeyState.ACTIVE:
            raise ApiError(
                409,
                f"Key {old.id} is {old.state(self.env.now_s())}: make a new one.",
                kind="invalid_request_error",
                code="key_ended",
            )
        overlap_s = _duration_s("overlap", asked.overlap, 0.0, _LONGEST_OVERLAP_S)
        new_id, secret = self._new_id(), self.env.new_secret()
        text = key_text(new_id, secret)
        ended, new = rotated(
            old,
            new_id=new_id,
            key_sha256=sha256_of(text),
            now_s=self.env.now_s(),
            overlap_s=overlap_s,
            by=caller_of(request).key_id,
        )

        def change(store: Store) -> None:
            store.add_key(new)
            store.write_key(ended)

        await self._write(request, f"{old.id} -> {new.id}", change)
        self.guard.keyring.put(ended, new)
        return unstored(201, {**self._described(new), "key": text, "replaces": self._described(ended)})

    async def log(self, request: web.Request) -> web.Response:
        """Newest first; an administrator of one tenant reads what was done with that tenant's keys."""
        limit = whole(request, "limit", _DEFAULT_PAGE, _LONGEST_PAGE)
        before = whole(request, "before", 0, 2**62) or None
        try:
            found = await self.env.in_thread(
                self.reads.audit, limit=limit, before=before, tenant=caller_of(request).tenant
            )
        except StoreBusyError as error:
            raise busy(error) from None
        more = found[-1].sequence if len(found) == limit else None
        return unstored(200, {"object": "list", "data": [_described_entry(one) for one in found], "next_before": more})

    # -- inside -------------------------------------------------------------------------------------------------------

    def _made(self, asked: KeyFields, caller: Caller) -> tuple[Key, str]:
        now_s = self.env.now_s()
        life_s = None if asked.expires is None else _duration_s("expires", asked.expires, 1.0, _LONGEST_LIFE_S)
        key_id = self._new_id()
        text = key_text(key_id, self.env.new_secret())
        key = Key(
            id=key_id,
            tenant=_plain("tenant", asked.tenant, MAX_TENANT) if asked.tenant is not None else None,
            scopes=_scopes(asked.scopes),
            key_sha256=sha256_of(text),
            created_at_s=now_s,
            created_by=caller.key_id,
            name=_plain("name", asked.name, MAX_NAME),
            expires_at_s=None if life_s is None else now_s + life_s,
        )
        if key.tenant == "":
            raise invalid("tenant: may not be empty; leave it out for a key of all tenants", param="tenant")
        return key, text

    def _new_id(self) -> str:
        return f"{self.env.random.getrandbits(48):012x}"

    def _known(self, request: web.Request) -> Key:
        """The stored key that the path names, if it is the caller's to change. Raises ApiError."""
        key = self.guard.keyring.key(request.match_info["id"])
        if key is None or not caller_of(request).acts_for(key.tenant or ""):
            raise not_found(f"There is no key {request.match_info['id'][:40]!r}.")
        if key.created_by == "settings" or key.id == "own":
            raise ApiError(
                409,
                f"Key {key.id} stands in the settings: take it out of server.keys_sha256 and start again.",
                kind="invalid_request_error",
                code="key_of_settings",
            )
        return key

    async def _write(self, request: web.Request, target: str, change: Callable[[Store], None]) -> None:
        """The change and its entry in the log, or neither."""
        status = 200 if request.path.endswith("/revoke") else 201
        try:
            await self.audit.with_change(request, target, change, status=status, request_id=request[REQUEST_ID])
        except (StoreBusyError, DiskFullError) as error:
            raise busy(error) from None

    def _described(self, key: Key) -> dict[str, Any]:
        return {
            "object": "key",
            "id": key.id,
            "name": key.name,
            "tenant": key.tenant,
            "scopes": list(key.scopes),
            "state": key.state(self.env.now_s()),
            "created_at": format_instant(key.created_at_s),
            "created_by": key.created_by,
            "expires_at": _instant(key.expires_at_s),
            "revoked_at": _instant(key.revoked_at_s),
            "replaced_by": key.replaced_by,
        }


def _refuse_lockout(key: Key) -> None:
    """With the first key the door asks for keys: it has to be one that can make others."""
    if key.tenant is not None or Scope.ADMIN not in key.scopes:
        raise invalid(
            "scopes: the first key must have the scope admin and no tenant, else nobody could make another",
            param="scopes",
            code="first_key",
        )


def _scopes(names: list[str]) -> tuple[Scope, ...]:
    known = {scope.value: scope for scope in GRANTABLE}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise invalid(f"scopes: must be some of {', '.join(known)}", param="scopes")
    return tuple(scope for scope in GRANTABLE if scope in names)


def _plain(field: str, text: str, longest: int) -> str:
    if len(text) > longest or not text.isprintable():
        raise invalid(f"{field}: at most {longest} characters that print", param=field)
    return text


def _duration_s(field: str, text: str, least_s: float, most_s: float) -> float:
    try:
        duration_s = parse_duration_s(text)
    except (QuantityError, OverflowError) as error:
        raise invalid(f"{field}: {error}", param=field) from None
    if not least_s <= duration_s <= most_s:
        raise invalid(f"{field}: must be {least_s:.0f}s to {most_s:.0f}s", param=field)
    return duration_s


async def fields_of(request: web.Request, shape: type[Any]) -> Any:
    """The body of a change, as a struct of this shape. Raises ApiError 400."""
    body = await read_json_body(request, max_bytes=_MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise invalid(f"{error}.", param=_field_in(str(error), shape)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The body is not valid JSON.", code="invalid_json") from None


def _field_in(problem: str, shape: type[msgspec.Struct]) -> str | None:
    return next((name for name in shape.__struct_fields__ if f"`{name}`" in problem or f"$.{name}" in problem), None)


def _described_entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": format_instant(entry.at_s),
        "key": entry.key_id,
        "tenant": entry.tenant,
        "action": entry.action,
        "target": entry.target,
        "status": entry.status,
        "code": entry.code or None,
        "request": entry.request_id,
    }


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else format_instant(at_s)


def _other_tenant(caller: Caller) -> ApiError:
    message = f"This key administers tenant {caller.tenant!r} only."
    return ApiError(403, message, kind="permission_error", param="tenant", code="other_tenant")


def busy(error: Exception) -> ApiError:
    """What the caller may try again."""
    return unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_S)


def unstored(status: int, data: dict[str, Any]) -> web.Response:
    """An answer that nobody on its way may keep."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(data),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
