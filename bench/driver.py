"""Runs workloads by several contenders side by side, checks that they agree, and writes tables.

`cargo xtask bench` prepares what this needs and starts it; README.md says what is measured.
"""

import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import tomllib
import zlib

import numpy as np

import tables

HERE = pathlib.Path(__file__).parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "bench"
# Beyond these seconds a contender's cell stays empty.
START_LIMIT, COMPILE_LIMIT, TIME_LIMIT = 300, 120, 300

PYTHON = {
    "numpy": ["peer_numpy"],
    "pytensor-c": ["peer_pytensor", "linker=cvm"],
    "pytensor-numba": ["peer_pytensor", "linker=numba"],
    "jax": ["peer_jax"],
    "torch": ["peer_torch"],
    "torch-compile": ["peer_torch", "compile=1"],
}
# Programs of the workspace `rust-peers`.
RUST = {
    "candle": ["peer-candle"],
    "burn-flex": ["peer-burn", "flex"],
    "burn-ndarray": ["peer-burn", "ndarray"],
}
PEERS = [*PYTHON, *RUST]


def specifications():
    """Workloads with their sizes, in the order of the file."""
    for formula, table in tomllib.loads((HERE / "workloads.toml").read_text()).items():
        for name, sizes in table["runs"].items():
            yield {
                "name": name, "formula": formula, "sizes": sizes, "constants": table.get("constants", {}), "inputs": table["inputs"],
                "states": table.get("states", []), "tolerance": table.get("tolerance"),
            }


def make_input(rng, text, sizes):
    dtype, kind, *dims = text.split()
    shape = [sizes[dim] if dim in sizes else int(dim) for dim in dims]
    kind, *parameters = kind.split(":")
    if kind == "below":
        limit = sizes[parameters[0]] if parameters[0] in sizes else int(parameters[0])
        values = rng.integers(0, limit, shape)
    elif kind == "normal":
        values = rng.standard_normal(shape) * float(parameters[0] if parameters else 1)
    elif kind == "uniform":
        values = rng.uniform(float(parameters[0]), float(parameters[1]), shape)
    elif kind == "value":
        values = np.full(shape, float(parameters[0]))
    else:
        raise ValueError(f"workloads.toml: unknown kind `{kind}`")
    return np.asarray(values).astype({"f64": "f8", "f32": "f4", "i64": "i8"}[dtype])


def write_inputs(workload, folder):
    rng = np.random.default_rng(zlib.crc32(workload["name"].encode()))
    for name, text in workload["inputs"].items():
        np.save(folder / f"{name}.npy", make_input(rng, text, workload["sizes"]))


class Failed(Exception):
    pass


class Contender:
    """A process that answers lines of JSON with lines of JSON."""

    def __init__(self, name, command, environment):
        self.scratch = tempfile.mkdtemp(prefix="scratch-", dir=TARGET)
        environment = dict(environment, PYTENSOR_FLAGS=f"base_compiledir={self.scratch}")
        self.name, self.log = name, open(TARGET / f"{name}.log", "a")
        # A group of its own, so that compilers which it starts end with it.
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)

    def receive(self, limit):
        late = threading.Event()

        def stop():
            late.set()
            self.end()
        timer = threading.Timer(limit, stop)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if late.is_set():
            raise Failed(f"over {limit} s")
        if not line:
            raise Failed(f"it ended with status {self.process.wait()}; {self.log.name} has what it said")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, limit, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"it has ended; {self.log.name} has what it said") from None
        return self.receive(limit)

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def clean(self):
        self.end()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def command_of(name, arguments):
    if name == "arignote":
        return [arguments.ours]
    if name in RUST:
        program, *options = RUST[name]
        return [str(arguments.rust_peers / program), *options]
    return [sys.executable, str(HERE / "peers/contender.py"), *PYTHON[name]]


def environment_of(threads):
    environment = {key: value for key, value in os.environ.items() if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for key in ["OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON", "NUMEXPR", "CANDLE", "MATMUL"]:
        environment[f"{key}_NUM_THREADS"] = str(threads)
    environment.update(
        ARIGNOTE_FLAGS=f"device=cpu,backend.cpu.threads={threads}", TORCHINDUCTOR_CACHE_DIR=str(TARGET / "inductor"),
        TORCHINDUCTOR_FX_GRAPH_CACHE="0", TORCHINDUCTOR_AUTOGRAD_CACHE="0", TOKENIZERS_PARALLELISM="false")
    return environment


def read_results(folder):
    return [np.load(folder / f"{number}.npy") for number in range(len(list(folder.iterdir())))]


def check(found, expected, tolerance):
    """The largest difference relative to the largest magnitude of each result."""
    if len(found) != len(expected):
        raise Failed(f"{len(found)} results and states where {len(expected)} are due")
    worst = 0.0
    for number, (value, wanted) in enumerate(zip(found, expected)):
        value, wanted = np.asarray(value, "f8"), np.asarray(wanted, "f8")
        if value.size != wanted.size:
            raise Failed(f"result {number} has the shape {value.shape} where {wanted.shape} is due")
        scale = np.abs(wanted).max(initial=1e-300)
        error = np.abs(value.reshape(wanted.shape) - wanted).max(initial=0) / scale
        if not error <= tolerance:
            raise Failed(f"wrong: result {number} is off by {error:.2g} of its largest magnitude, {tolerance:.0e} is allowed")
        worst = max(worst, error)
    return worst


def tolerance_of(workload):
    single = any(text.startswith("f32") for text in workload["inputs"].values())
    return workload["tolerance"] or (2e-4 if single else 1e-10)


def pairs(text):
    """What `--leave-out` names."""
    found = []
    for part in filter(None, text.split(",")):
        contender, colon, workload = part.strip().partition(":")
        if not colon:
            raise argparse.ArgumentTypeError(f"`{part}` is not CONTENDER:WORKLOAD")
        found.append((contender, workload))
    return found


def is_left_out(leave_out, peer, workload):
    return any(fnmatch.fnmatch(peer, contender) and fnmatch.fnmatch(workload, name) for contender, name in leave_out)


def run(workload, names, arguments, environment, versions):
    """For each contender its measurements, or why there are none."""
    folder = TARGET / "data"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inputs").mkdir(parents=True)
    write_inputs(workload, folder / "inputs")
    described = {key: workload[key] for key in ("name", "formula", "constants", "states")} | {"inputs": list(workload["inputs"])}

    def prepare(contender, name):
        versions[name] = contender.receive(START_LIMIT)["version"]
        outputs = folder / f"outputs-{name}"
        outputs.mkdir()
        answer = contender.ask(
            COMPILE_LIMIT, do="prepare", name=workload["name"], workload=described, inputs=str(folder / "inputs"), outputs=str(outputs))
        return answer["compile"], read_results(outputs)

    exact = Contender("exact", [*command_of("numpy", arguments), "float64=1"], environment)
    try:
        _, expected = prepare(exact, "exact")
    finally:
        exact.clean()
    rows, living = {}, {}
    try:
        for name in names:
            if name in PEERS and is_left_out(arguments.leave_out, name, workload["name"]):
                rows[name] = {"reason": tables.LEFT_OUT}
                continue
            contender = Contender(name, command_of(name, arguments), environment)
            living[name] = contender
            try:
                compile_seconds, found = prepare(contender, name)
                error = check(found, expected, tolerance_of(workload))
                rows[name] = {"compile": compile_seconds, "seconds": [], "peak": 0, "error": error}
            except Failed as reason:
                rows[name] = {"reason": str(reason)}
                living.pop(name).clean()
        rounds = 1 if arguments.quick else 4
        seconds, calls = (0.3, 3) if arguments.quick else (2.5 / rounds, 3)
        for _ in range(rounds):
            for name, contender in list(living.items()):
                try:
                    answer = contender.ask(TIME_LIMIT, do="time", seconds=seconds, calls=calls)
                    rows[name]["seconds"] += answer["seconds"]
                    rows[name]["peak"] = max(rows[name]["peak"], answer["peak"])
                except Failed as reason:
                    rows[name] = {"reason": str(reason)}
                    living.pop(name).clean()
    finally:
        for contender in living.values():
            contender.clean()
        shutil.rmtree(folder, ignore_errors=True)
    for row in rows.values():
        if "seconds" in row:
            row["median"], row["calls"] = statistics.median(row["seconds"]), len(row.pop("seconds"))
    return rows


def machine(threads):
    model = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
        model += f" ({', '.join(flag for flag in ('avx2', 'avx512f') if flag in flags)})"
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, {threads} threads, {platform.system()} {platform.machine()}"


def said(*command):
    """What a program prints, or None if it is not there or fails."""
    try:
        return subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit():
    """The commit that is measured, or None where this is no repository; the page itself may have changed."""
    # Unlike `git`, this does not find a repository around this folder.
    name = said("git", "rev-parse", "--short", "HEAD") if (HERE.parent / ".git").exists() else None
    changes = said("git", "--no-optional-locks", "status", "--porcelain", "--", ".", ":!bench/RESULTS.md")
    return f"{name} with changes" if name and changes else name


def memory():
    """GiB of the machine, or None where the system does not say."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1)
    except (AttributeError, OSError, ValueError):
        return None


def describe(arguments):
    """What the head of the page says; what is not known is absent."""
    about = {
        "date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine(arguments.threads), "memory": memory(),
        "rustc": said("rustc", "-V"), "quick": arguments.quick,
    }
    return {key: value for key, value in about.items() if value is not None}


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench", description="Times workloads beside other libraries.")
    parser.add_argument("--only", help="workloads, separated by commas; * and ? stand for letters: --only 'ew_*,mlp_60'")
    parser.add_argument("--peers", help=f"contenders beside arignote, separated by commas, or none: {', '.join(PEERS)}")
    parser.add_argument(
        "--leave-out", type=pairs, default=[], metavar="CONTENDER:WORKLOAD,...",
        help="cells that stay empty; * and ? stand for letters in both: --leave-out 'pytensor-*:deep_chain'")
    parser.add_argument("--quick", action="store_true", help="a glance instead of a measurement: less time for each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ours", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rust-peers", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    wanted = PEERS if arguments.peers is None else [name for name in arguments.peers.split(",") if name and name != "none"]
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        parser.error(f"unknown peers: {', '.join(unknown)}")
    names = ["arignote", *wanted]
    workloads = list(specifications())
    for pair in arguments.leave_out:
        if not any(is_left_out([pair], peer, workload["name"]) for peer in PEERS for workload in workloads):
            parser.error(f"--leave-out: no cell of a peer matches {':'.join(pair)}")
    if arguments.only:
        patterns = arguments.only.split(",")
        workloads = [workload for workload in workloads if any(fnmatch.fnmatch(workload["name"], pattern) for pattern in patterns)]
        if not workloads:
            parser.error("no workload matches --only")
    TARGET.mkdir(parents=True, exist_ok=True)
    for log in TARGET.glob("*.log"):
        log.unlink()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])
    environment, versions, results, about = environment_of(arguments.threads), {}, {}, describe(arguments)
    whole = not (arguments.only or arguments.peers is not None or arguments.quick)
    page = HERE / "RESULTS.md" if whole else TARGET / "RESULTS.md"
    for number, workload in enumerate(workloads):
        results[workload["name"]] = rows = run(workload, names, arguments, environment, versions)
        print(f"[{number + 1}/{len(workloads)}] {tables.line(workload['name'], rows)}", flush=True)
        (TARGET / "results.json").write_text(json.dumps({"about": about, "versions": versions, "results": results}, indent=1))
        # After each workload: what is measured stays if the rest is interrupted.
        partial = page.with_suffix(".partial")
        partial.write_text(tables.page(results, names, about, versions))
        partial.rename(page)
    print(page.read_text())


if __name__ == "__main__":
    main()
