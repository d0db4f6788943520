"""Messages over a stream that cuts them anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.local.messages import Messages, pack

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda item: st.lists(item, max_size=3),
)
messages = st.dictionaries(st.text(max_size=5), values, max_size=5)


@given(sent=st.lists(messages, max_size=10), size=st.integers(1, 50))
def test_what_is_packed_comes_out_however_it_is_cut(sent: list[dict[str, object]], size: int) -> None:
    stream = b"".join(pack(message) for message in sent)
    reader = Messages()
    found = [message for at in range(0, len(stream), size) for message in reader.feed(stream[at : at + size])]
    assert found == sent


def test_half_a_message_is_none() -> None:
    whole = pack({"a": "b" * 100_000})
    reader = Messages()
    assert reader.feed(whole[:-1]) == []
    assert reader.feed(whole[-1:]) == [{"a": "b" * 100_000}]
