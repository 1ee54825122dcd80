"""Starts `slacktide serve` again and again without paying for its imports each time: `python -m ... CONFIG`.

Each line on stdin is one life: this process, which has imported everything and started nothing, forks, and the child
runs the command line as a console would. Prints the child's process id, then how it ended.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from slacktide.main import main

# What each life would import for half a second.
IMPORTED = ("scheduler.daemon.app", "scheduler.store.migrating", "scheduler.config_text", "slacktide.log_lines")


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def live(arguments: list[str]) -> None:
    sys.argv = ["slacktide", *arguments]
    main()


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            live(["serve", "-c", sys.argv[1]])
            os._exit(0)
        tell(pid)
        _, status = os.waitpid(pid, 0)
        tell(os.waitstatus_to_exitcode(status))
