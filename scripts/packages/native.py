"""The licences of shared libraries that wheels bring along, whose metadata names the licence of the package alone."""

import re

# by the name of the file up to the first dash, dot or version
LICENCES = {
    "libaom": "BSD-2-Clause",
    "libasound": "LGPL-2.1-or-later",
    "libavif": "BSD-2-Clause",
    "libcrypto": "OpenSSL",
    "libdav1d": "BSD-2-Clause",
    "libdrm": "MIT",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libgnutls": "LGPL-2.1-or-later",
    "libgomp": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libhogweed": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libmp3lame": "LGPL-2.0-or-later",
    "libnettle": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libopenblas": "BSD-3-Clause",
    "libopenblasp": "BSD-3-Clause",
    "libopencore": "Apache-2.0",
    "libopus": "BSD-3-Clause",
    "libpng": "libpng-2.0",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libsharpyuv": "BSD-3-Clause",
    "libssl": "OpenSSL",
    "libunistring": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libvmaf": "BSD-2-Clause-Patent",
    "libvpl": "MIT",
    "libvpx": "BSD-3-Clause",
    "libwebp": "BSD-3-Clause",
    "libwebpmux": "BSD-3-Clause",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxcb": "MIT",
    "libSvtAv1Enc": "BSD-3-Clause-Clear",
    "libXau": "MIT",
}

# libraries whose name ends with digits of their own
NAMED_WITH_DIGITS = ("libx264", "libx265")

# FFmpeg's libraries say it themselves, for it depends on how they were compiled
OF_FFMPEG = re.compile(rb"lib(?:av|sw)[a-z]+ license: ((?:L?GPL) version [0-9.]+ or later)")
FFMPEG_TERMS = {
    "LGPL version 2.1 or later": "LGPL-2.1-or-later",
    "LGPL version 3 or later": "LGPL-3.0-or-later",
    "GPL version 2 or later": "GPL-2.0-or-later",
    "GPL version 3 or later": "GPL-3.0-or-later",
}
# their configuration, which each of them has. PyAV changes FFmpeg so that it calls itself LGPL all the same
WITH_GPL = re.compile(rb"--enable-libx26[45]\b")


def native_licence(name: str, content: bytes) -> str:
    """Return the licence of a shared library by its file name and content, as an SPDX expression.

    Raises ValueError where none is known.
    """
    if stated := OF_FFMPEG.search(content):
        terms = stated[1].decode()
        if WITH_GPL.search(content):
            terms = terms.replace("LGPL version 2.1", "GPL version 2").removeprefix("L")
        return FFMPEG_TERMS[terms]
    stem = re.split(r"[-.]", name)[0]
    if stem not in NAMED_WITH_DIGITS and stem not in LICENCES:
        stem = stem.rstrip("0123456789_")
    if stem not in LICENCES:
        raise ValueError(f"no licence is known of {name}, which a wheel brings; add it to scripts/packages/native.py")
    return LICENCES[stem]
