"""Small pictures: a PNG writer, and colours that those who see colours differently can tell apart."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import numpy as np

# Nine colours of viridis (van der Walt and Smith, 2015), from dark blue to yellow.
VIRIDIS = "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725".split()
_TABLE = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in VIRIDIS], float)


def viridis(parts: Any) -> Any:
    """Numbers from 0 to 1 as colours (..., 3), uint8."""
    places = np.clip(np.asarray(parts, float), 0, 1) * (len(_TABLE) - 1)
    at = np.arange(len(_TABLE))
    return np.stack([np.interp(places, at, _TABLE[:, i]) for i in range(3)], axis=-1).astype(np.uint8)


def png(pixels: Any) -> bytes:
    """A picture (H, W), (H, W, 3) or (H, W, 4) of uint8 as a PNG file (W3C PNG, third edition).

    >>> png(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    pixels = np.ascontiguousarray(pixels, np.uint8)
    height, width = pixels.shape[:2]
    kind = {2: 0, 3: 2 if pixels.shape[-1] == 3 else 6}[pixels.ndim]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    ]
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return file


def address(pixels: Any) -> str:
    """The picture as a data: address."""
    return "data:image/png;base64," + b64encode(png(pixels)).decode()
