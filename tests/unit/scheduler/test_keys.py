"""Which key is believed, what it opens and when it ends. Nobody draws a random number here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.keys import (
    ANYONE,
    NOBODY,
    Caller,
    Key,
    Keyring,
    KeyState,
    Refusal,
    Scope,
    bootstrap_key,
    key_text,
    rotated,
    sha256_of,
)

DAY_S = 86_400.0
SECRET = "s" * 43
TEXT = key_text("0123456789ab", SECRET)


def a_key(**changed: Any) -> Key:
    fields: dict[str, Any] = {
        "id": "0123456789ab",
        "tenant": "red",
        "scopes": (Scope.INFER, Scope.READ),
        "key_sha256": sha256_of(TEXT),
        "created_at_s": 0.0,
        "created_by": "anyone",
    }
    return Key(**{**fields, **changed})


def a_ring(*keys: Key) -> Keyring:
    ring = Keyring()
    ring.put(*keys)
    return ring


def test_a_key_is_its_id_and_its_secret_in_one_word() -> None:
    assert f"tide-0123456789ab-{SECRET}" == TEXT
    for wrong in (("0123456789a", SECRET), ("0123456789aG", SECRET), ("0123456789ab", "short")):
        with pytest.raises(ValueError, match="256 bits"):
            key_text(*wrong)


def test_the_holder_of_a_key_is_its_tenant_with_its_scopes() -> None:
    assert a_ring(a_key()).believed(TEXT, 5.0) == Caller(
        key_id="0123456789ab", tenant="red", scopes=frozenset({Scope.INFER, Scope.READ})
    )


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "tide-",
        TEXT[:-1],
        TEXT + "x",
        TEXT.upper(),
        key_text("0123456789ab", "t" * 43),
        key_text("ba9876543210", SECRET),
    ],
)
def test_what_is_not_the_whole_key_is_unknown(shown: str) -> None:
    assert a_ring(a_key()).believed(shown, 5.0) is Refusal.UNKNOWN


def test_a_key_ends_at_the_instant_it_names() -> None:
    ring = a_ring(a_key(expires_at_s=100.0))
    assert isinstance(ring.believed(TEXT, 99.9), Caller)
    assert ring.believed(TEXT, 100.0) is Refusal.EXPIRED


def test_a_revoked_key_is_said_to_be_revoked_to_its_holder_only() -> None:
    ring = a_ring(a_key(revoked_at_s=1.0, expires_at_s=2.0))
    assert ring.believed(TEXT, 5.0) is Refusal.REVOKED
    assert ring.believed(key_text("0123456789ab", "t" * 43), 5.0) is Refusal.UNKNOWN
    assert a_key(revoked_at_s=1.0).state(0.0) is KeyState.REVOKED


def test_the_keys_of_the_settings_open_everything_whatever_they_look_like() -> None:
    for text in ("any text", TEXT):
        ring = Keyring([bootstrap_key(sha256_of("other")), bootstrap_key(sha256_of(text).upper())])
        caller = ring.believed(text, 5.0)
        assert isinstance(caller, Caller)
        assert caller.tenant is None
        assert all(caller.may(scope) for scope in Scope)
        assert caller.key_id == f"config-{sha256_of(text)[:8]}"
        assert ring.key(caller.key_id) is not None


def test_the_door_asks_for_keys_from_the_first_one_on_and_for_good() -> None:
    own = replace(a_key(), id="own")
    assert not Keyring().asks_for_keys
    assert not Keyring(own=own).asks_for_keys
    assert Keyring([bootstrap_key(sha256_of("x"))], own=own).asks_for_keys
    assert a_ring(a_key(revoked_at_s=1.0)).asks_for_keys


def test_a_caller_may_what_one_of_his_scopes_opens() -> None:
    caller = Caller(key_id="k", tenant="red", scopes=frozenset({Scope.BATCH}))
    assert caller.may(Scope.BATCH)
    assert caller.may(frozenset({Scope.READ, Scope.BATCH}))
    assert caller.may(Scope.OPEN)
    assert not caller.may(Scope.ADMIN)
    assert not caller.may(frozenset({Scope.READ, Scope.TRAIN}))
    assert caller.acts_for("red")
    assert not caller.acts_for("blue")
    assert ANYONE.acts_for("blue")
    assert not NOBODY.may(Scope.READ)


def test_a_rotated_key_lives_as_long_again_and_its_forerunner_for_the_overlap() -> None:
    old, new = rotated(
        a_key(expires_at_s=90 * DAY_S),
        new_id="ffffffffffff",
        key_sha256="00",
        now_s=10 * DAY_S,
        overlap_s=DAY_S,
        by="boss",
    )
    assert (old.expires_at_s, old.replaced_by) == (11 * DAY_S, "ffffffffffff")
    assert (new.created_at_s, new.expires_at_s, new.created_by) == (10 * DAY_S, 100 * DAY_S, "boss")
    assert (new.tenant, new.scopes, new.key_sha256) == ("red", old.scopes, "00")


def test_a_rotation_never_makes_the_old_key_last_longer() -> None:
    changed = {"new_id": "ffffffffffff", "key_sha256": "00", "now_s": 10.0, "by": "boss"}
    assert rotated(a_key(expires_at_s=15.0), overlap_s=DAY_S, **changed)[0].expires_at_s == 15.0  # type: ignore[arg-type]
    old, new = rotated(a_key(), overlap_s=0.0, **changed)  # type: ignore[arg-type]
    assert (old.expires_at_s, new.expires_at_s) == (10.0, None)


def test_what_was_read_a_moment_ago_revives_no_key() -> None:
    """Another daemon's keys are read beside our own changes, and may be older than those."""
    ring = a_ring(a_key(revoked_at_s=1.0), replace(a_key(expires_at_s=50.0, replaced_by="x"), id="ba9876543210"))
    ring.learn([a_key(), replace(a_key(expires_at_s=90.0), id="ba9876543210"), replace(a_key(), id="ffffffffffff")])
    assert ring.believed(TEXT, 5.0) is Refusal.REVOKED
    kept = ring.key("ba9876543210")
    assert kept is not None
    assert (kept.expires_at_s, kept.replaced_by) == (50.0, "x")
    assert ring.key("ffffffffffff") is not None
    ring.learn([replace(a_key(revoked_at_s=2.0), id="ffffffffffff")])
    ended = ring.key("ffffffffffff")
    assert ended is not None
    assert ended.revoked_at_s == 2.0
