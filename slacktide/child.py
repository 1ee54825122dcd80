"""The command of `slacktide run` as a child process: same terminal, same streams, our signals.

While it runs, SIGINT, SIGTERM and SIGHUP sent to us are sent on to it; a Ctrl-C at the terminal reaches it anyway and
is not sent twice. Waiting for a signal and for its end is one call, so that neither is missed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_FORWARDED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_AWAITED = _FORWARDED | {signal.SIGCHLD}
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_SENT_BY_THE_KERNEL = 0x80  # si_code of a signal from the terminal: the whole foreground group has it


@contextmanager
def threads_kept_deaf() -> Iterator[None]:
    """Threads that begin inside never take those signals.

    A signal that this thread blocks goes to any other that does not, and there it ends the process and leaves the
    command running. numpy begins threads of its own as it is imported: import it here.
    """
    mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask_before)


class Child:
    """One run of the command. From its start to its end those signals are ours to take. Raises OSError.

    No other thread may take them: see `threads_kept_deaf`.
    """

    def __init__(self, command: Sequence[str], told: Mapping[str, str]) -> None:
        self._mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        self._status: int | None = None
        try:
            self._pid = os.posix_spawnp(
                command[0],
                list(command),
                {**os.environ, **told},
                setsigmask=self._mask_before,
                setsigdef=_IGNORED_BY_PYTHON,
            )
        except OSError:
            self._give_signals_back()
            raise

    def wait(self, at_most_s: float) -> int | None:
        """See Process."""
        until_s = time.monotonic() + at_most_s
        while not self._has_ended():
            rest_s = until_s - time.monotonic()
            if rest_s <= 0:
                return None
            self._send_on(signal.sigtimedwait(_AWAITED, rest_s))
        return self._exit_code()

    def end(self, grace_s: float) -> tuple[int, bool]:
        """See Process."""
        os.kill(self._pid, signal.SIGTERM)
        exit_code = self.wait(grace_s)
        if exit_code is not None:
            return exit_code, False
        os.kill(self._pid, signal.SIGKILL)
        self._status = os.waitpid(self._pid, 0)[1]
        return self._exit_code(), True

    def _has_ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def _send_on(self, arrived: signal.struct_siginfo | None) -> None:
        """The child is not reaped yet, so that its number is still its own."""
        if arrived is None or arrived.si_signo not in _FORWARDED or arrived.si_code == _SENT_BY_THE_KERNEL:
            return
        os.kill(self._pid, arrived.si_signo)

    def _exit_code(self) -> int:
        self._give_signals_back()
        assert self._status is not None
        exit_code = os.waitstatus_to_exitcode(self._status)
        return exit_code if exit_code >= 0 else 128 - exit_code

    def _give_signals_back(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask_before)
