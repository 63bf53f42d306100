"""Which words of a text may stand in a report."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.doctor.hardware import words

# what a report must not have: hosts, users, addresses, serial numbers, paths and labels
LETTERS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=12).filter(
    lambda text: not text.isdigit() and text not in words.own_words() and text not in words.SYSTEM_WORDS
)
OCTETS = st.lists(st.integers(0, 255), min_size=4, max_size=4)
SECRETS = st.one_of(
    LETTERS.map("{}.local".format),
    LETTERS.map("/home/{}/front door".format),
    LETTERS.map("rtsp://admin:{}@10.0.0.7/stream1".format),
    LETTERS.map("https://{}.example.org/a?token=1".format),
    LETTERS.map("{}@example.org".format),
    LETTERS.map("zq{}xk".format),
    OCTETS.map("{0[0]}.{0[1]}.{0[2]}.{0[3]}".format),
    st.lists(st.integers(0, 99), min_size=6, max_size=6).map(
        "{0[0]:02}:{0[1]:02}:{0[2]:02}:{0[3]:02}:{0[4]:02}:{0[5]:02}".format
    ),
    OCTETS.map("dc:a6:{0[0]:02x}:{0[1]:02x}:{0[2]:02x}:{0[3]:02x}".format),
    st.integers(10**9, 10**16).map("{:x}".format),
    st.integers(10**6, 10**16).map(str),
    st.text(min_size=1, max_size=20).filter(lambda text: not re.sub(r"\W|_", "", text).isascii()),
)


def reveals(text: str, secret: str) -> bool:
    """Whether a text has the secret, whatever stands between its letters and digits."""
    return re.sub(r"\W|_", "", secret).lower() in re.sub(r"\W|_", "", text).lower()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi 4 Model B Rev 1.4"),
        ("Raspberry Pi Compute Module 4 Rev 1.0", "Raspberry Pi Compute Module 4 Rev 1.0"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "NVIDIA Jetson Orin Nano Developer Kit"),
        ("Annas Raspberry Pi 5 Model B Rev 1.0", "Raspberry Pi 5 Model B Rev 1.0"),
        ("QEMU Standard PC (Q35 + ICH9, 2009)", "QEMU Standard PC"),
        ("Beelink MINI S12 Pro", "Beelink MINI S12 Pro"),
        ("To be filled by O.E.M.", None),
        ("4 1.0", None),
        ("", None),
    ],
)
def test_a_board_is_told_by_known_words(text: str, shown: str | None) -> None:
    assert words.board(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Intel(R) N100", "Intel(R) N100"),
        ("AMD Ryzen 7 5800U with Radeon Graphics", "AMD Ryzen 7 5800U with Radeon Graphics"),
        ("Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz", "Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz"),
        ("AMD EPYC 9B14", "AMD EPYC"),
        ("annas-host", None),
    ],
)
def test_a_processor_is_told_by_known_words(text: str, shown: str | None) -> None:
    assert words.processor(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("6.12.25+rpt-rpi-v8", "6.12.25-rpt-rpi-v8"),
        ("6.1.0-18-amd64", "6.1.0-amd64"),
        ("5.15.148-tegra", "5.15.148-tegra"),
        ("6.18.44-annas-kernel", "6.18.44"),
        ("annas-kernel", None),
        ("10.0.0.7", None),
        ("12345a.local", None),
    ],
)
def test_a_kernel_is_told_without_its_builder(text: str, shown: str | None) -> None:
    assert words.kernel(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4.12.0.88", "4.12.0"),
        ("2.3", "2.3"),
        ("1.0rc1", "1.0"),
        ("?", None),
        (None, None),
        ("1234a.local", None),
        ("192.168.1.20", "192.168.1"),
    ],
)
def test_a_version_has_three_numbers(text: str | None, shown: str | None) -> None:
    assert words.version(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x86_64, 2 cores, with AVX2", "x86_64 2 cores with AVX2"),
        ("TFLite crashed: SIGILL", "TFLite crashed SIGILL"),
        ("Python 3.11.7, numpy 2.4.6, ai-edge-litert 2.3.0", "Python 3.11.7 numpy 2.4.6 ai-edge-litert 2.3.0"),
        ("/home/anna/libedgetpu.so.1 cannot be loaded", "… cannot be loaded"),
        ("libedgetpu.so.1 refuses: no answer from 192.168.1.20", "libedgetpu.so.1 refuses no answer from …"),
        ("seen at 12:34:56:78:90:12 by fe80::1", "… at … by …"),
        ("", ""),
    ],
)
def test_a_message_keeps_known_words(text: str, shown: str) -> None:
    assert words.message(text) == shown


@given(SECRETS)
def test_what_names_somebody_stays_out(secret: str) -> None:
    texts = [
        words.message(f"cannot be loaded {secret}: no such device {secret}"),
        words.board(f"Raspberry Pi {secret}"),
        words.processor(f"AMD {secret}"),
        words.kernel(f"6.1.0-{secret}"),
    ]
    for text in texts:
        assert not reveals(text or "", secret)
    assert words.one_of(secret, words.known("drivers")) is None
