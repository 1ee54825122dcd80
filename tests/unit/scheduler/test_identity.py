"""Whom the claims of a token stand for, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scheduler.identity import LEEWAY_S, believed
from scheduler.identity_settings import OidcSettings
from scheduler.keys import Caller, Refusal, Scope

SETTINGS = OidcSettings(issuer="https://id.example/", audience="slacktide", jwks_url="https://id.example/keys")
NOW_S = 1_000_000.0


def claims(**changed: Any) -> dict[str, Any]:
    usual = {
        "iss": "https://id.example/",
        "aud": ["other", "slacktide"],
        "exp": NOW_S + 600,
        "sub": "alice",
        "tenant": "red",
        "scope": "openid inference read open",
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def test_a_token_stands_for_its_subject_in_its_tenant_with_the_scopes_that_are_ours() -> None:
    caller = Caller(key_id="oidc:alice", tenant="red", scopes=frozenset({Scope.INFER, Scope.READ}))
    assert believed(claims(), SETTINGS, NOW_S) == caller
    assert believed(claims(aud="slacktide", scope=["read", "inference", 3]), SETTINGS, NOW_S) == caller


@pytest.mark.parametrize("scope", [None, "", "everything", 5, {"read": True}])
def test_a_token_without_our_scopes_opens_nothing(scope: Any) -> None:
    caller = believed(claims(scope=scope), SETTINGS, NOW_S)
    assert isinstance(caller, Caller)
    assert caller.scopes == frozenset()


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://id.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["slacktide-2"]},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": math.nan},
        {"exp": math.inf},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": ["red"]},
        {"tenant": "x" * 201},
        {"nbf": NOW_S + LEEWAY_S + 1},
        {"nbf": "now"},
    ],
)
def test_a_token_with_a_wrong_claim_is_nobodys(wrong: dict[str, Any]) -> None:
    assert believed(claims(**wrong), SETTINGS, NOW_S) is Refusal.UNKNOWN


def test_a_token_ends_a_minute_after_it_says_because_clocks_differ() -> None:
    assert isinstance(believed(claims(exp=NOW_S - LEEWAY_S + 1), SETTINGS, NOW_S), Caller)
    assert believed(claims(exp=NOW_S - LEEWAY_S), SETTINGS, NOW_S) is Refusal.EXPIRED
    assert isinstance(believed(claims(nbf=NOW_S + LEEWAY_S), SETTINGS, NOW_S), Caller)
