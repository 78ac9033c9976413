"""The other end of `driver.py`: reads a line of JSON, does what it asks, answers with one.

A peer module has `build(workload, inputs) -> task`, `load(array) -> its own array` and `unload(its own) -> array`; a task
has `call() -> results`, complete when it returns, and `states() -> list`, the current values in the order of
`workload["states"]`.
"""

import importlib
import json
import os
import pathlib
import sys
import time

import numpy

HERE = pathlib.Path(__file__).parent


def resident(line):
    """Bytes of resident memory without pages of files: those are the library, read from disk when it first needs them."""
    status = dict(text.split(":", 1) for text in open("/proc/self/status"))
    total, of_files = (int(status.get(name, "0").split()[0]) for name in (line, "RssFile"))
    return (total - of_files) * 1024


def prepare(module, request, options):
    workload = request["workload"]
    folder, outputs = pathlib.Path(request["inputs"]), pathlib.Path(request["outputs"])
    inputs = {name: numpy.load(folder / f"{name}.npy") for name in workload["inputs"]}
    if options.get("float64"):
        inputs = {name: value.astype("f8") if value.dtype.kind == "f" else value for name, value in inputs.items()}
    inputs = {name: module.load(value) for name, value in inputs.items()}
    before = resident("VmRSS")
    start = time.perf_counter()
    task = module.build(workload, inputs)
    del inputs
    results = task.call()
    compile_seconds = time.perf_counter() - start
    for number, value in enumerate([*results, *task.states()]):
        numpy.save(outputs / f"{number}.npy", module.unload(value))
    return task, before, {"compile": compile_seconds}


def timed(task, before, request):
    call, clock = task.call, time.perf_counter
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    least = float("inf")
    # The first call finds nothing in the caches.
    for _ in range(3):
        begin = clock()
        call()
        least = min(least, max(clock() - begin, 1e-9))
        if least > 100 * 100e-6:
            break
    batch = min(max(int(-(-100e-6 // least)), 1), 10_000)
    times, start, rounds = [], clock(), range(batch)
    while len(times) * batch < request["calls"] or clock() - start < request["seconds"]:
        begin = clock()
        for _ in rounds:
            call()
        times.append((clock() - begin) / batch)
    return {"seconds": times, "peak": max(resident("VmHWM") - before, 0)}


def main():
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, *options = sys.argv[1:]
    options = dict(option.split("=", 1) for option in options)
    module = importlib.import_module(name)
    module.configure(options)

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"version": module.VERSION})
    task = before = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                task, before, answer = prepare(module, request, options)
            else:
                answer = timed(task, before, request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        say(answer)


if __name__ == "__main__":
    main()
