"""A transport without a network, for protocols alone."""

from __future__ import annotations

import asyncio


class Kept(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"socket": None})
        self.written = b""
        self.shut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def writelines(self, parts: object) -> None:
        self.written += b"".join(parts)  # type: ignore[arg-type]  # bytes, as Connection gives them

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.shut

    def close(self) -> None:
        self.shut = True

    def abort(self) -> None:
        self.shut = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
