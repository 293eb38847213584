# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Processes for tests that start dozens of them, without the seconds that each start takes to import torch and
transformers. A server imports them once and forks a process for each start. `ssast_command()` is the line of a client
that runs `ssast` so, or a script whose path comes first; `python_command()` is the one for `-c CODE`, where only what
does not read the Hub's environment variables is imported. The client hands its arguments, directory, environment and
standard streams to the server. Signals that it gets reach the process, also SIGKILL, and it ends with its exit status.
Environment variables that the imported libraries read are the server's: tests of those start Python themselves.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MODULES = {
    "ssast": (
        "soundfile", "soxr", "sklearn.linear_model", "accelerate", "transformers.trainer",
        "ssast_hf.training.finetune", "ssast_hf.training.pretrain", "ssast_hf.inference", "ssast_hf.checkpoints",
        "ssast_hf.export",
    ),
    "python": (
        "soundfile", "soxr", "sklearn.linear_model", "scipy.signal", "pandas", "torch", "torch._dynamo",
        "torch.distributed.tensor", "torch.export",
    ),
}  # fmt: skip


def ssast_command() -> list[str]:
    """The command line that runs `ssast`."""
    return _client("ssast")


def python_command() -> list[str]:
    """The command line that runs `-c CODE`, with one thread."""
    return _client("python", OMP_NUM_THREADS="1")


@functools.cache
def _client(kind: str, **environment: str) -> list[str]:
    """Starts a server, which ends with the calling process."""
    folder = Path(tempfile.mkdtemp(prefix="ssast-test-"))
    address = folder / "socket"
    ours, theirs = os.pipe()  # the server ends when nobody holds `theirs` any more
    root = str(Path(__file__).parents[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", kind, str(address), str(ours)], pass_fds=[ours], cwd=root,
        env={**os.environ, "PYTHONPATH": root, **environment}, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    os.close(ours)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"

    def stop() -> None:
        os.close(theirs)
        server.kill()
        server.wait()
        address.unlink()
        folder.rmdir()

    atexit.register(stop)
    return [sys.executable, "-I", "-S", __file__, str(address)]


def ssast_path() -> str:
    """PATH that begins with a folder in which `ssast` is that command."""
    line = ssast_command()
    script = Path(line[-1]).with_name("bin") / "ssast"
    if not script.exists():
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {" ".join(line)} "$@"\n')
        script.chmod(0o755)
        atexit.register(lambda: (script.unlink(), script.parent.rmdir()))
    return os.pathsep.join([str(script.parent), str(Path(sys.executable).parent), os.environ["PATH"]])


def ask(address: str, arguments: list[str]) -> None:
    """The client."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = {"arguments": arguments, "cwd": os.getcwd(), "environment": dict(os.environ)}
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
    socket.send_fds(connection, [b"?"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\n")
    status = int(connection.makefile().readline() or 255)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def serve(kind: str, address: str, alive: int) -> None:
    """Forks a process for each client. The children return, with the client's arguments; the server does not."""
    import_all(kind)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGCHLD)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    clients: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    for source in (listener, woken, alive):
        selector.register(source, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj == alive:
                for pid in clients:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is woken:
                woken.recv(4096)
                for pid in list(clients):
                    if (found := os.waitpid(pid, os.WNOHANG))[0]:
                        answer(clients.pop(pid), selector, os.waitstatus_to_exitcode(found[1]))
            elif key.fileobj is listener:
                client, _ = listener.accept()
                _, streams, _, _ = socket.recv_fds(client, 1, 3)
                request = json.loads(client.makefile().readline())
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for number, handler in handlers.items():
                        signal.signal(number, handler)
                    for inherited in (listener, woken, wake, client, *clients.values()):
                        inherited.close()
                    os.close(alive)
                    become(request, streams)
                    return
                for stream in streams:
                    os.close(stream)
                clients[pid] = client
                selector.register(client, selectors.EVENT_READ, pid)
            elif key.data in clients:
                sent = key.fileobj.recv(1)
                os.kill(key.data, sent[0] if sent else signal.SIGKILL)
                if not sent:
                    selector.unregister(key.fileobj)


def import_all(kind: str) -> None:
    """Imports, and no more: threads of torch would be missing in the children."""
    for name in MODULES[kind]:
        importlib.import_module(name)
    if kind == "ssast":
        from transformers import conversion_mapping

        conversion_mapping.get_checkpoint_conversion_mapping("audio-spectrogram-transformer")
    gc.freeze()  # else the children copy every page that their garbage collector looks at


def answer(client: socket.socket, selector: selectors.BaseSelector, status: int) -> None:
    """Tells a client, if it is still there, how its command ended."""
    with contextlib.suppress(KeyError):
        selector.unregister(client)
    with contextlib.suppress(OSError):
        client.sendall(f"{status}\n".encode())
    client.close()


def become(request: dict, streams: list[int]) -> None:
    """Makes this process what the client would have been."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    unbuffered = bool(request["environment"].get("PYTHONUNBUFFERED"))
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1 if unbuffered else -1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    arguments = request["arguments"]
    first = next(iter(arguments), "")
    sys.argv = arguments if first == "-c" or first.endswith(".py") else ["ssast", *arguments]
    sys.path[0] = request["cwd"]
    if threads := request["environment"].get("OMP_NUM_THREADS"):
        sys.modules["torch"].set_num_threads(int(threads))
    if request["environment"].get("PYTHONWARNINGS") == "ignore":
        warnings.simplefilter("ignore")


def run() -> int:
    if sys.argv[0] == "ssast":
        from ssast_hf.cli import main

        return main()
    try:
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
            return 0
        exec(compile(sys.argv.pop(1), "<string>", "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def end(status: int) -> None:
    """Ends this process as Python does, but frees no memory: that takes a second where all modules are imported."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    if __package__:  # started with -m
        serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        try:
            end(run())
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
            end(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    ask(sys.argv[1], sys.argv[2:])
