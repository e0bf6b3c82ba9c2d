"""What tests/live.rs runs: work that ticks into a Dict for as long as it computes."""

import modal

app = modal.App("beacon-jobs-live")
dict_of_ticks = modal.Dict.from_name("beacon-jobs-live-ticks", create_if_missing=True)
options = {"timeout": 300, "retries": 0}


def work(key, seconds=240):
    import time

    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        count += 1
        dict_of_ticks[key] = count
        time.sleep(0.5)
    return count


@app.function(**options)
def echo(value):
    return value


@app.function(**options)
def ticks(key):
    return dict_of_ticks.get(key, 0)


@app.function(**options)
def plain(key):
    return work(key)


@app.function(**options)
def swallows(key):
    import time

    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            work(key, end - time.monotonic())
        except BaseException:
            pass


@app.function(**options)
def thread(key):
    import threading

    worker = threading.Thread(target=work, args=(key,))
    worker.start()
    worker.join()


@app.function(**options)
def child(key):
    import multiprocessing

    worker = multiprocessing.get_context("spawn").Process(target=work, args=(key,))
    worker.start()
    worker.join()
