"""Traces are read as they are; what is wrong is named by file, line and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from simulations.trace_files import WorkloadError, read_job_trace, read_request_trace
from tests.real_data import real_data


def a_file(folder: Path, *lines: str, name: str = "trace.csv") -> Path:
    path = folder / name
    text = "\n".join(lines) + "\n"
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_requests_are_read_from_a_compressed_file_by_the_names_of_their_columns(tmp_path: Path) -> None:
    path = a_file(
        tmp_path, "output_tokens,timestamp,arrival_s,prompt_tokens", "44,x,0.5,374", "9,x,2,3", name="t.csv.gz"
    )
    trace = read_request_trace(path)
    assert trace.arrival_s.tolist() == [0.5, 2.0]
    assert trace.prompt_tokens.tolist() == [374, 3]
    assert trace.output_tokens.tolist() == [44, 9]


def test_a_limit_takes_the_first_complete_rows_and_counts_those_left_out(tmp_path: Path) -> None:
    path = a_file(tmp_path, "submit_s,duration_s,gpus", "0,10,1", "1,,1", "2,20,2", "3,30,3")
    trace = read_job_trace(path, limit=2)
    assert trace.duration_s.tolist() == [10.0, 20.0]
    assert trace.left_out == 1


def test_part_of_a_gpu_is_a_whole_one(tmp_path: Path) -> None:
    path = a_file(tmp_path, "submit_s,duration_s,gpus", "0,10,0.46")
    assert read_job_trace(path).gpus.tolist() == [1]


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    path = a_file(tmp_path, "arrival_s,prompt_tokens,output_tokens", "5,1,1", "3,2,2")
    assert read_request_trace(path).prompt_tokens.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["arrival_s,prompt_tokens,output_tokens", "0,x,1"], "line 2, column prompt_tokens: 'x' is no number"),
        (["arrival_s,prompt_tokens,output_tokens", "0,1,1", "-1,1,1"], "line 3, column arrival_s: -1 is negative"),
        (["arrival_s,prompt_tokens", "0,1"], "line 1, column output_tokens: no such column; the file has arrival_s"),
        (["arrival_s,prompt_tokens,output_tokens", "0,1"], "line 2: 2 fields where the header has 3"),
        (["arrival_s,prompt_tokens,output_tokens"], "has no complete row"),
        (["arrival_s,prompt_tokens,output_tokens", "0,1,0"], "column output_tokens: a request has at least one token"),
    ],
)
def test_a_malformed_trace_says_where(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(WorkloadError, match=words):
        read_request_trace(a_file(tmp_path, *lines))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"absent\.csv: cannot be read: No such file"):
        read_request_trace(tmp_path / "absent.csv")


def test_a_cut_off_compressed_file_is_an_error_and_no_shorter_trace(tmp_path: Path) -> None:
    rows = [f"{index},{index % 7 + 1},{index % 5 + 1}" for index in range(5000)]
    path = a_file(tmp_path, "arrival_s,prompt_tokens,output_tokens", *rows, name="t.csv.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(WorkloadError, match="cannot be read"):
        read_request_trace(path)


def test_the_real_job_trace_has_its_first_job() -> None:
    trace = read_job_trace(real_data("training_jobs/philly_2017_09_10.csv.gz"), limit=500)
    assert len(trace) == 500
    assert (trace.submit_s[0], trace.duration_s[0], trace.gpus[0]) == (0.0, 2240194.0, 8)
