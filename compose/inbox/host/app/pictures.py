"""The pictures of customers: each is drawn once, from its number, as a PNG of 48 by 48 points, and then kept."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

from aiohttp import web
from service import Service

_SIZE = 48


@lru_cache(maxsize=500)
def picture(number: int) -> bytes:
    """Draw a pattern that tells one customer from another."""
    colour = zlib.crc32(b"%d" % number).to_bytes(4, "big")
    rows = bytearray()
    for y in range(_SIZE):
        rows.append(0)
        for x in range(_SIZE):
            rows += bytes(part ^ (0x55 if (x * y + number) & 8 else 0) for part in colour[:3])
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", _SIZE, _SIZE, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


async def show(request: web.Request) -> web.Response:
    """`GET /pictures/NUMBER`."""
    return web.Response(body=picture(int(request.match_info["number"])), content_type="image/png")


if __name__ == "__main__":
    Service("pictures", 8081, [web.get(r"/pictures/{number:\d{1,6}}", show)]).run()
