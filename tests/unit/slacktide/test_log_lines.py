"""How a log record reads."""

from __future__ import annotations

import json
import logging

from slacktide.log_lines import LogLines


def a_record(message: str, name: str = "scheduler.daemon.app", **fields: object) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.INFO, "file.py", 1, message, (), None)
    record.__dict__.update(fields, created=1_646_136_000.0)
    return record


def test_a_record_is_one_line_with_its_action_first() -> None:
    record = a_record("a job is planned", action="job_planned", job="a", reason='two words\nand "more"')
    line = LogLines(as_json=False).format(record)
    assert line == r'2022-03-01T12:00:00Z info    job_planned job=a reason="two words\nand \"more\""'


def test_what_another_library_says_is_the_text_of_an_action() -> None:
    record = a_record("run time of job was missed", name="apscheduler.executors", odd_field=1)
    line = LogLines(as_json=False).format(record)
    assert line.endswith('library_message library=apscheduler.executors text="run time of job was missed"')


def test_json_has_the_action_and_the_fields() -> None:
    line = LogLines(as_json=True).format(a_record("serves", action="daemon_ready", address="http://127.0.0.1:1"))
    assert json.loads(line) == {
        "time": "2022-03-01T12:00:00Z",
        "level": "info",
        "action": "daemon_ready",
        "address": "http://127.0.0.1:1",
    }
