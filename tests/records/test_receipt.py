"""A receipt gives what a submit command printed, and its exit code only when that is certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.records.receipt import Receipt, read_receipt


def written(output: str, code: int, job: str = "job") -> str:
    return f"{output}\nhpc_connect v1 receipt id={job} code={code} END\n"


@given(st.text(), st.integers(0, 255))
def test_output_and_code_are_read_as_they_were_written(output: str, code: int) -> None:
    assert read_receipt(written(output, code), "job") == Receipt(output, code)


@given(st.text(), st.integers(0, 255))
def test_a_receipt_that_was_cut_off_anywhere_has_no_code(output: str, code: int) -> None:
    whole = written(output, code)
    for length in range(len(whole)):
        assert read_receipt(whole[:length], "job") == Receipt(whole[:length], None)


@pytest.mark.parametrize(
    "output",
    [
        "\nhpc_connect v1 receipt id=job code=0 END\n",
        "4711\nhpc_connect v1 receipt id=job code=0 END\nmore",
        "\nhpc_connect v1 receipt id=other code=0 END\n",
        "\nhpc_connect v1 receipt id=job code=",
    ],
)
def test_of_several_ends_the_last_counts(output: str) -> None:
    assert read_receipt(written(output, 3), "job") == Receipt(output, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4711\n",
        written("4711\n", 0, job="other"),
        written("4711\n", 0, job="job2"),
        written("4711\n", 0) + "more",
        written("4711\n", 0).replace("v1", "v2"),
        written("4711\n", 0).replace("code=0", "code="),
        written("4711\n", 0).replace("code=0", "code=-1"),
        written("4711\n", 0).replace("code=0", "code=0000"),
        written("4711\n", 0).replace("END", "end"),
    ],
)
def test_without_an_end_of_this_job_and_version_all_is_output(text: str) -> None:
    assert read_receipt(text, "job") == Receipt(text, None)
