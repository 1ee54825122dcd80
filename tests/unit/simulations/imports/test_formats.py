"""Other people's traces: a few lines of each as its origin writes them, and what a scenario reads of them."""

from __future__ import annotations

import json
from dataclasses import astuple
from functools import partial

import pytest

from simulations.imports.formats import FORMATS, Imported, format_of, imported
from simulations.imports.job_logs import swf
from simulations.imports.rows import JobRow, TraceFormatError

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 2]}
"""
VIDUR = """arrived_at,num_prefill_tokens,num_decode_tokens
10.5,100,20
10.25,50,30
"""
PHILLY = json.dumps(
    [
        {
            "status": "Pass",
            "jobid": "application_1",
            "submitted_time": "2017-10-09 07:00:00",
            "attempts": [
                {
                    "start_time": "2017-10-09 07:02:00",
                    "end_time": "2017-10-09 07:12:00",
                    "detail": [{"ip": "m1", "gpus": ["gpu0", "gpu1"]}, {"ip": "m2", "gpus": ["gpu7"]}],
                },
                {"start_time": "2017-10-09 08:00:00", "end_time": "2017-10-09 08:05:00", "detail": []},
            ],
        },
        {"status": "Killed", "jobid": "application_2", "submitted_time": "2017-10-09 06:00:00", "attempts": []},
    ]
)
PAI = """a9449d475665e3bf0512520b,worker,2,Terminated,1000.0,1600.0,600.0,29.3,50.0,V100
0cb6f5,ps,1,Terminated,1100.0,1200.0,600.0,29.3,,
1b2c3d,worker,1,Failed,1200.0,,600.0,29.3,100.0,T4
"""
SWF = """; Version: 2.2
; UnixStartTime: 870000000
1 100 5 600 16 -1 -1 16 3600 -1 1 3 1 -1 1 -1 -1 -1
2 160 0 -1 8 -1 -1 8 3600 -1 0 3 1 -1 1 -1 -1 -1
"""
SACCT = """JobID|Submit|Elapsed|AllocTRES|State
101|2024-05-01T10:00:00|1-02:03:04|billing=16,cpu=16,gres/gpu=4,mem=64G,node=1|COMPLETED
102|2024-05-01T11:00:00|10:30|cpu=16,gres/gpu:a100=2,gres/gpu=2,node=1|CANCELLED by 1000
103|2024-05-01T12:00:00|00:10:00|cpu=2,node=1|COMPLETED
104|2024-05-01T12:00:00|00:10:00|cpu=2,gres/gpu=1,node=1|RUNNING
"""
SAMPLES = {
    "azure": AZURE,
    "burstgpt": BURSTGPT,
    "mooncake": MOONCAKE,
    "vidur": VIDUR,
    "philly": PHILLY,
    "pai": PAI,
    "swf": SWF,
    "sacct": SACCT,
}


def read(name: str, text: str) -> Imported:
    return imported(FORMATS[name].read(text.splitlines(keepends=True)), has_calendar=FORMATS[name].has_calendar)


@pytest.mark.parametrize(
    ("name", "rows", "left_out"),
    [
        ("azure", [(0.0, 4808, 10), (0.052, 3180, 8)], {}),
        ("burstgpt", [(0.0, 472, 18), (113.0, 417, 276)], {"no output token": 1}),
        ("mooncake", [(0.0, 6758, 500), (3.052, 7322, 490)], {}),
        ("vidur", [(0.0, 50, 30), (0.25, 100, 20)], {}),
        ("philly", [(0.0, 900.0, 3)], {"never ran": 1}),
        ("pai", [(0.0, 600.0, 1)], {"no GPU": 1, "not run to its end": 1}),
        ("swf", [(0.0, 600.0, 16)], {"never ran": 1}),
        ("sacct", [(0.0, 93_784.0, 4), (3600.0, 630.0, 2)], {"no GPU": 1, "not run to its end": 1}),
    ],
)
def test_a_trace_becomes_rows_from_its_first_arrival_on(
    name: str, rows: list[tuple[float, ...]], left_out: dict[str, int]
) -> None:
    trace = read(name, SAMPLES[name])

    assert [astuple(row) for row in trace.rows] == [pytest.approx(row, abs=1e-6) for row in rows]
    assert trace.left_out == left_out


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_line_shows_the_format(name: str) -> None:
    assert format_of(SAMPLES[name].splitlines()[0]) == name


@pytest.mark.parametrize("line", ["", "timestamp,zone,gco2e_per_kwh", "arrival_s,prompt_tokens,output_tokens", "a b"])
def test_other_files_show_none(line: str) -> None:
    assert format_of(line) is None


def test_only_traces_with_a_calendar_say_when_they_began() -> None:
    assert read("sacct", SACCT).begins_at_s == 1_714_557_600.0  # 2024-05-01T10:00:00Z
    assert read("burstgpt", BURSTGPT).begins_at_s is None


def test_processors_are_taken_as_gpus_by_the_number_named() -> None:
    rows = partial(swf, processors_per_gpu=12)(SWF.splitlines())

    assert imported(rows, has_calendar=False).rows == [JobRow(submit_s=0.0, duration_s=600.0, gpus=2)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("azure", AZURE.replace("4808", "many"), "line 2, ContextTokens: 'many' is no number"),
        ("azure", AZURE.replace("2023-11-16 18:17:03", "yesterday"), "line 2, TIMESTAMP"),
        ("azure", AZURE.replace("ContextTokens", "Context"), "line 2, ContextTokens: is missing"),
        ("burstgpt", BURSTGPT.replace("472,18,490", "472,18"), "line 2: 5 fields, 6 were expected"),
        ("burstgpt", BURSTGPT.replace("472,", "472.5,"), "line 2, Request tokens: '472.5' is no whole number"),
        ("mooncake", MOONCAKE + "{", "line 3: is no JSON"),
        ("mooncake", "[1]", "line 1: is no JSON object"),
        ("philly", '[{"submitted_time": "2017-10-09 07:00:00"}]', "line 1, attempts: is no list"),
        ("philly", '[{"submitted_time": 1', "line 1: is no JSON"),
        ("swf", "1 2 3", "line 1: 3 fields, 18 were expected"),
        ("sacct", SACCT.replace("10:30", "ten minutes"), "line 3, Elapsed: 'ten minutes' is no"),
    ],
)
def test_a_line_that_is_not_as_its_format_says_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(TraceFormatError, match=message.replace("[", r"\[")):
        read(name, text)
