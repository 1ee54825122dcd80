"""A PostgreSQL server of the tests' own: in a fresh folder, on a socket in it, gone with the session that began it.

Debian keeps the server's programs off the PATH. The server refuses to run as root, so there it runs as `postgres`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STARTS_WITHIN_S = 60.0
# What a crash of the machine would leave is not tested here; the rest is as in production.
_SETTINGS = ("-c", "listen_addresses=", "-c", "fsync=off")


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where no server is installed."""
    found = [Path(on_path).resolve().parent] if (on_path := shutil.which("initdb")) else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: float(one.parts[-3]))
    return next(iter(found + [one.parent for one in reversed(debian)]), None)


@contextmanager
def running_server(bin_folder: Path) -> Iterator[str]:
    """The URL of an empty database. Raises CalledProcessError with what the server said."""
    user = _unprivileged_user()
    # Not pytest's own folder: only its owner may enter that, and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="slacktide-pg-"))
    try:
        shutil.chown(folder, user)
        data = folder / "data"
        _run(user, bin_folder / "initdb", "-D", data, "-U", "slacktide", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = " ".join(("-k", str(folder), *_SETTINGS))
        control = (bin_folder / "pg_ctl", "-D", data, "-t", str(int(_STARTS_WITHIN_S)), "-w", "-l", folder / "log")
        _run(user, *control, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://slacktide@/postgres?host={folder}"
        finally:
            _run(user, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> str:
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _run(user: str, *command: str | Path) -> None:
    is_root = os.geteuid() == 0
    as_user: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()} if is_root else {}
    # Into a file and not a pipe: the server would keep a pipe open for as long as it runs.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=2 * _STARTS_WITHIN_S, check=False,
            cwd="/", **as_user,
        )  # fmt: skip
        said.seek(0)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, list(map(str, command)), said.read())
