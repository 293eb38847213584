# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Uploads that the page refuses: too large, too many at a time, too long."""

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...data.clips import Clip
from .visit import name_of

OVERHEAD = 100_000  # bytes around the files of an upload
UPLOAD = "/upload"  # how the address ends to which Gradio's pages and clients post files
REFUSED, NO_LENGTH = 413, 411  # Content Too Large, Length Required


@dataclass
class UploadLimits:
    """
    An ASGI application that refuses uploads before and after Gradio's own receives them. A refusal is an answer with
    the status 413 (411 without a Content-Length) and one line of text that says what was found and what is allowed.

    Args:
        app: Gradio's application, which itself refuses files of more bytes.
        megabytes (`float`): Of a file.
        seconds (`float`, *optional*): Of sound in a file, as its headers state. Of an upload of several files, those
            that are too long are refused one by one when they are analysed.
        files (`int`, *optional*): In an upload.
    """

    app: Any
    megabytes: float
    seconds: float | None = None
    files: int | None = None

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(UPLOAD):
            await self.app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"content-length")
        if header is None:
            await _answer(send, NO_LENGTH, "The upload has no Content-Length, expected its size in bytes.")
            return
        length = int(header)
        upload = _Upload(receive)
        messages: list[dict] = []  # of the answer, which is small: held until the files were looked at
        refusal = self._too_large(length)
        if refusal is None:

            async def hold(message: dict) -> None:
                messages.append(message)

            await self.app(scope, upload.receive, hold)
            refusal = await asyncio.to_thread(self._refusal, messages, length)
        if refusal is not None:
            await upload.drain(length)
            await _answer(send, REFUSED, refusal)
            return
        for message in messages:
            await send(message)

    def _too_large(self, length: int) -> str | None:
        """Why an upload of so many bytes is refused at once."""
        if self.files is None or length <= self.files * self.megabytes * 1e6 + OVERHEAD:
            return None
        return (
            f"The upload has {length / 1e6:.1f} MB, expected at most {self.files} file(s) of at most "
            f"{self.megabytes:g} MB each."
        )

    def _refusal(self, messages: Sequence[dict], length: int) -> str | None:
        """Why what Gradio received is refused."""
        status = messages[0]["status"] if messages else None  # none where the client has gone
        if status == REFUSED:
            return f"The upload of {length / 1e6:.1f} MB has a file above {self.megabytes:g} MB, which is the most."
        if status != 200:
            return None
        paths = json.loads(b"".join(message.get("body", b"") for message in messages))
        if self.files is not None and len(paths) > self.files:
            return f"The upload has {len(paths)} files, expected at most {self.files}."
        return self._too_long(paths)

    def _too_long(self, paths: Sequence[str]) -> str | None:
        """Why an upload is refused of which every file is too long. Removes the files."""
        if self.seconds is None or not paths:
            return None
        lengths = [Clip(path).seconds() or 0.0 for path in paths]
        if min(lengths) <= self.seconds:
            return None
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)
        return f"{name_of(paths[0])} has {lengths[0]:.1f} s of sound, expected at most {self.seconds:g} s."


async def _answer(send, status: int, text: str) -> None:
    body = text.encode("utf-8", "replace")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Upload:
    """What a client sends, which can be read to its end so that the client sees the answer."""

    def __init__(self, receive):
        self.next, self.more = receive, True

    async def receive(self) -> dict:
        message = await self.next()
        self.more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drain(self, length: int) -> None:
        """Reads the rest of at most `length` bytes."""
        while self.more and length > 0:
            length -= len((await self.receive()).get("body", b""))
