"""Credentials are removed from every text that is shown."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.text import redact


@given(
    st.text(
        alphabet=st.characters(exclude_characters="\n", codec="ascii"),
        min_size=3,
    )
)
def test_user_and_password_of_a_url_are_removed(secret: str) -> None:
    shown = redact(f"cannot open rtsp://{secret}:{secret}@camera.local/stream: refused")
    assert shown == "cannot open rtsp://***@camera.local/stream: refused"


def test_other_text_is_unchanged() -> None:
    assert redact("write to a@b.org about rtsp://host/path") == "write to a@b.org about rtsp://host/path"
