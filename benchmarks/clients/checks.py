"""What was looked at, and whether it was as it should be: one row of the table each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`found` is what came back, in a few words; `wrong` names what did not hold."""

    what: str
    found: str
    wrong: tuple[str, ...] = ()
    not_run: str = ""

    @property
    def outcome(self) -> str:
        if self.not_run:
            return f"not run: {self.not_run}"
        return f"FAILED: {', '.join(self.wrong)}" if self.wrong else "as it should"


def compared(what: str, found: str, **holds: bool) -> Check:
    """Passed where everything named holds."""
    return Check(
        what=what, found=found, wrong=tuple(name.replace("_", " ") for name, is_so in holds.items() if not is_so)
    )


class NotRunError(Exception):
    """A peer that could not be had or started here; the message is the reason."""
