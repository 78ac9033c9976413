"""The tables of RESULTS.md."""

import fnmatch
import math
import pathlib
import tomllib

LIMITS = tomllib.loads((pathlib.Path(__file__).parent / "limits.toml").read_text())
# The reason of a cell that `--leave-out` names.
LEFT_OUT = "left out by --leave-out"
# Those that make a program of the graph before the first call; the others run op by op.
COMPILERS = ["pytensor-c", "pytensor-numba", "jax", "torch-compile"]
# Workloads that are a step of training.
TRAINING = [
    "logreg", "softmax_reg", "mlp_60", "mlp_512", "lenet_64", "rnn_scan", "lstm_scan", "conv_small", "conv_med", "conv_large", "attention",
]
MIB = 1 << 20


def limit(kind, workload):
    """What limits a workload, by limits.toml."""
    return next((text for name, text in LIMITS[kind].items() if fnmatch.fnmatch(workload, name)), "not known")


def best_peer(rows, key="median"):
    found = {name: row[key] for name, row in rows.items() if name != "arignote" and key in row}
    return min(found, key=found.get) if found else None


def short(value):
    """Three significant digits."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{digits}f}"


def line(name, rows):
    parts = [f"{peer} {short(row['median'] * 1e6)}" if "median" in row else f"{peer}: {row['reason']}" for peer, row in rows.items()]
    return f"{name} (µs): {', '.join(parts)}"


def geometric_mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def table(results, names, key, unit, best):
    """One row per workload; the fastest (or smallest) in bold, and how many times as fast we are as the best peer."""
    text = f"| workload | {' | '.join(names)} |{' best peer / arignote |' if best else ''}\n|---|{'---:|' * (len(names) + best)}\n"
    for workload, rows in results.items():
        found = [rows[name][key] for name in names if key in rows.get(name, {})]
        cells = []
        for name in names:
            value = rows.get(name, {}).get(key)
            shown = "" if value is None else short(value * unit)
            cells.append(f"**{shown}**" if found and value == min(found) and best else shown)
        if best:
            peer = best_peer(rows, key)
            ours = rows["arignote"].get(key)
            cells.append(f"{rows[peer][key] / ours:.2f} ({peer})" if peer and ours else "")
        text += f"| {workload} | {' | '.join(cells)} |\n"
    return text


def ratios_to(name, results, key="median"):
    """For each workload how many times what we need a peer, or the best one, needs."""
    ratios = {}
    for workload, rows in results.items():
        peer = best_peer(rows, key) if name == "best peer" else name
        ours, theirs = rows["arignote"].get(key), rows.get(peer, {}).get(key)
        if ours and theirs:
            ratios[workload] = theirs / ours
    return ratios


def least(ratios):
    slowest = min(ratios, key=ratios.get)
    return f"{ratios[slowest]:.2f} ({slowest})"


def speed(results, names):
    text = "| against | times as fast, geometric mean | level or ahead | least |\n|---|---:|---:|---:|\n"
    for name in [*names[1:], "best peer"]:
        ratios = ratios_to(name, results)
        if ratios:
            ahead = sum(ratio >= 1 for ratio in ratios.values())
            text += f"| {name} | {geometric_mean(ratios.values()):.2f} | {ahead} of {len(ratios)} | {least(ratios)} |\n"
    return text


def behind(results):
    """Where a peer is faster, by how much, and what limits us there."""
    ratios = ratios_to("best peer", results)
    slower = sorted((ratio, workload) for workload, ratio in ratios.items() if ratio < 1)
    text = f"A peer is faster in {len(slower)} of {len(ratios)} workloads.\n"
    if slower:
        text += "\n| workload | best peer / arignote | peer | what limits it |\n|---|---:|---|---|\n"
    for ratio, workload in slower:
        text += f"| {workload} | {ratio:.2f} | {best_peer(results[workload])} | {limit('speed', workload)} |\n"
    return text


def larger(results):
    """Where the peak is more than 10 % above the least of the peers, and what limits us there."""
    count, above = 0, []
    for workload, rows in results.items():
        peer, ours = best_peer(rows, "peak"), rows["arignote"].get("peak")
        if peer and ours is not None:
            count += 1
            theirs = rows[peer]["peak"]
            if ours > 1.1 * theirs and ours - theirs >= MIB / 2:
                above.append((ours - theirs, f"| {workload} | {short(ours / MIB)} | {short(theirs / MIB)} ({peer}) | {limit('memory', workload)} |\n"))
    text = f"Peak memory is at most 10 % above the best peer's in {count - len(above)} of {count} workloads. "
    text += "Less than 0.5 MiB of difference counts as level, as allocators take whole pages, and many at a time.\n"
    if above:
        text += "\n| workload | arignote, MiB | best peer, MiB | what limits it |\n|---|---:|---:|---|\n"
    return text + "".join(row for _, row in sorted(above, reverse=True))


def compilation(results, names):
    """How much sooner than peers that compile we have the first result."""
    text = ""
    for name in names:
        ratios = ratios_to(name, results, "compile") if name in COMPILERS else {}
        steps = [ratio for workload, ratio in ratios.items() if workload in TRAINING]
        if ratios:
            text += f"| {name} | {short(geometric_mean(ratios.values()))} | {short(geometric_mean(steps)) if steps else ''} | {least(ratios)} |\n"
    if not text:
        return ""
    found = ", ".join(name for name in TRAINING if name in results) or "none here"
    said = f"From building the graph to the end of the first call, peers that compile need so many times as long; steps of training are {found}."
    return f"\n{said}\n\n| against | all workloads, geometric mean | steps of training, geometric mean | least |\n|---|---:|---:|---:|\n{text}"


def head(names, about, versions):
    said = [about["date"], f"commit {about['commit']}" if "commit" in about else "", about["machine"]]
    said += [f"{about['memory']} GiB of memory" if "memory" in about else "", about.get("rustc", "")]
    text = f"# Results\n\n{'; '.join(filter(None, said))}.\n"
    return text + "; ".join(f"{name}: {versions[name]}" for name in names if name in versions) + ".\n"


def empty_cells(results, names):
    """Why cells are empty; those that `--leave-out` names in one line for each contender."""
    lines = []
    for name in names:
        left_out = [workload for workload, rows in results.items() if rows.get(name, {}).get("reason") == LEFT_OUT]
        if left_out:
            lines.append(f"- {name}, {LEFT_OUT}: {', '.join(left_out)}")
    for workload, rows in results.items():
        lines += [f"- {workload}, {name}: {row['reason']}" for name, row in rows.items() if row.get("reason", LEFT_OUT) != LEFT_OUT]
    return "\n## Empty cells\n\n" + "\n".join(lines) + "\n" if lines else ""


def page(results, names, about, versions):
    text = head(names, about, versions)
    if about["quick"]:
        text += "\nTaken with `--quick`: a glance, not a measurement.\n"
    text += "\n`cargo xtask bench` wrote this page; README.md says what is measured. Such figures move by 10 to 30 % from run to run, so compare only within one page.\n"
    if any(row.get("reason") == LEFT_OUT for rows in results.values() for row in rows.values()):
        text += f"\nSome cells are {LEFT_OUT}; the end of the page lists them.\n"
    text += "\n" + speed(results, names) + "\n" + behind(results) + "\n" + larger(results) + compilation(results, names)
    text += "\n## Median µs per call\n\n" + table(results, names, "median", 1e6, True)
    text += "\n## Seconds from building the graph to the end of the first call\n\n" + table(results, names, "compile", 1, False)
    text += "\n## MiB at the peak of the calls, beyond library and inputs\n\n" + table(results, names, "peak", 1 / MIB, False)
    text += "\n## Largest error, relative to the largest magnitude of the result\n\n" + errors(results, names)
    return text + empty_cells(results, names)


def errors(results, names):
    text = f"| workload | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    for workload, rows in results.items():
        cells = (f"{rows[name]['error']:.1e}" if "error" in rows.get(name, {}) else "" for name in names)
        text += f"| {workload} | {' | '.join(cells)} |\n"
    return text
