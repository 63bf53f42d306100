"""JPEG pictures for tests, made by OpenCV, and one with a preview picture in its EXIF."""

from functools import cache

import cv2
import numpy as np


@cache
def jpeg(shade: int, *, size: tuple[int, int] = (64, 48), progressive: bool = False, restarts: int = 0) -> bytes:
    """Return a JPEG whose luma is `shade` everywhere but for some fine noise, which makes compressed data."""
    noise = np.random.default_rng(shade).integers(-4, 5, (*size[::-1], 3))
    pixels = np.clip(shade + noise, 0, 255).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restarts]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


@cache
def jpeg_with_preview(shade: int) -> bytes:
    """Return a JPEG that holds a small complete JPEG in its segment APP1, as cameras put it into EXIF."""
    picture, preview = jpeg(shade), jpeg(255 - shade, size=(16, 16))
    content = b"Exif\0\0II*\0" + bytes(8) + preview
    return picture[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + picture[2:]


def part(picture: bytes, boundary: str = "picture") -> bytes:
    """Return the picture as a part of a multipart stream, as most cameras send it."""
    head = f"--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"
