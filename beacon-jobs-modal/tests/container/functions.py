"""What runs in the containers. A function ticks while it works: every 20 ms it appends a byte to a
file, for a minute at most, so that whatever happens to the tests nothing is left behind."""

import asyncio
import ctypes
import datetime
import decimal
import subprocess
import sys
import threading
import time

import modal

app = modal.App("app")

STEP = 0.02
STEPS = 3000


def tick(path):
    with open(path, "ab") as file:
        file.write(b".")


def ticks(path):
    for _ in range(STEPS):
        tick(path)
        time.sleep(STEP)


def waits():
    time.sleep(STEP * STEPS)


@app.function()
def plain(path):
    ticks(path)


@app.function()
def swallows(path):
    for _ in range(STEPS):
        try:
            tick(path)
            time.sleep(STEP)
        except BaseException:
            pass


@app.function()
def saves(path):
    try:
        ticks(path)
    except BaseException:
        return {"saved": True}


@app.function()
def with_thread(path):
    threading.Thread(target=ticks, args=[path], daemon=True).start()
    waits()


CHILD = f"""
import sys, time
for _ in range({STEPS}):
    with open(sys.argv[1], "ab") as file:
        file.write(b".")
    time.sleep({STEP})
"""


@app.function()
def with_child(path):
    subprocess.Popen([sys.executable, "-I", "-S", "-c", CHILD, path])
    waits()


@app.function()
def in_c(path):
    """A call into C that looks at no signal: it waits for a lock that nobody gives back. A thread ticks
    while it lasts."""
    over = threading.Event()

    def while_it_lasts():
        while not over.is_set():
            tick(path)
            time.sleep(STEP)

    threading.Thread(target=while_it_lasts, daemon=True).start()
    libc = ctypes.CDLL(None)
    lock = ctypes.create_string_buffer(64)
    end = (ctypes.c_long * 2)(int(time.time() + STEP * STEPS), 0)
    try:
        libc.pthread_mutex_lock(lock)
        libc.pthread_mutex_timedlock(lock, end)
    finally:
        over.set()


async def ticks_async(path):
    for _ in range(STEPS):
        tick(path)
        await asyncio.sleep(STEP)


@app.function()
async def awaits(path):
    await ticks_async(path)


@app.function()
async def swallows_async(path):
    for _ in range(STEPS):
        try:
            tick(path)
            await asyncio.sleep(STEP)
        except asyncio.CancelledError:
            pass


@app.function()
async def blocks(path):
    ticks(path)


def web(handle):
    """A web app of one handler; the request's path names the file."""

    async def answer(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await receive()
        await handle(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return answer


@app.function()
@modal.asgi_app()
def web_awaits():
    return web(ticks_async)


@app.function()
@modal.asgi_app()
def web_thread():
    """As frameworks run a handler that is an ordinary `def`."""
    return web(lambda path: asyncio.to_thread(ticks, path))


@app.function()
def ends(path):
    for _ in range(5):
        tick(path)
        time.sleep(STEP)
    return {"ticks": 5}


@app.function()
def echoes(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.function()
def raises(message):
    raise ValueError(message)


@app.function()
async def cancels_itself():
    raise asyncio.CancelledError


@app.function()
@modal.asgi_app()
def web_ends():
    async def at_once(path):
        tick(path)

    return web(at_once)


@app.function()
def gives(what):
    return {
        "all": {
            "nothing": None,
            "bytes": b"\x00\xff",
            "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
            "set": {1},
            "tuple": (1, 2),
            "keys": {1: "one"},
        },
        "big": 2**70,
        "decimal": decimal.Decimal("1.5"),
        "object": object(),
    }[what]
