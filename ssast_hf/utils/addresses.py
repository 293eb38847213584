# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Addresses to serve a page on."""

import socket


def check_address(host: str | None, port: int | None) -> None:
    """Raises ValueError where nothing can be served; Gradio would try a hundred times."""
    if host or port:
        address = host or "127.0.0.1"
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            socket.create_server((address.strip("[]"), port or 0), family=family).close()
        except OSError as error:
            place = f"{address} port {port}" if port else address
            raise ValueError(f"cannot serve on {place}: {error.strerror or error}") from error


def is_local(host: str) -> bool:
    """Whether an address is this machine's own, which others cannot reach."""
    return host == "localhost" or host.strip("[]") == "::1" or host.startswith("127.")
