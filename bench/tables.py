"""The tables of RESULTS.md."""

import math



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
            shown = "" if value is None else short(max(value, 0) * unit)
            cells.append(f"**{shown}**" if found and value == min(found) and best else shown)
        if best:
            peer = best_peer(rows, key)
            ours = rows["arignote"].get(key)
            cells.append(f"{rows[peer][key] / ours:.2f} ({peer})" if peer and ours else "")
        text += f"| {workload} | {' | '.join(cells)} |\n"
    return text


def summary(results, names):
    against, behind = {}, []
    for name in [*names[1:], "best peer"]:
        ratios = {}
        for workload, rows in results.items():
            peer = best_peer(rows) if name == "best peer" else name
            ours, theirs = rows["arignote"].get("median"), rows.get(peer, {}).get("median")
            if ours and theirs:
                ratios[workload] = theirs / ours
        if ratios:
            slowest = min(ratios, key=ratios.get)
            against[name] = f"| {name} | {geometric_mean(list(ratios.values())):.2f} | {sum(r >= 1 for r in ratios.values())} of {len(ratios)} | {ratios[slowest]:.2f} ({slowest}) |"
        if name == "best peer":
            behind = sorted((ratio, workload) for workload, ratio in ratios.items() if ratio < 1)
    text = "| against | times as fast, geometric mean | level or ahead | least |\n|---|---:|---:|---:|\n" + "\n".join(against.values()) + "\n"
    if behind:
        text += "\nBehind the best peer: " + ", ".join(f"{workload} ({ratio:.2f})" for ratio, workload in behind) + ".\n"
    return text


def page(results, names, about, versions):
    text = f"# Results\n\n{about['date']}; {about['machine']}.\n"
    text += "; ".join(f"{name}: {versions[name]}" for name in names if name in versions) + ".\n"
    if about["quick"]:
        text += "\nTaken with `--quick`: a glance, not a measurement.\n"
    text += "\n`cargo xtask bench` wrote this page; README.md says what is measured. Such figures move by 10 to 30 % from run to run, so compare only within one page.\n"
    text += "\n" + summary(results, names)
    text += "\n## Median µs per call\n\n" + table(results, names, "median", 1e6, True)
    text += "\n## Seconds from building the graph to the end of the first call\n\n" + table(results, names, "compile", 1, False)
    text += "\n## MiB at the peak of the calls, beyond library and inputs\n\n" + table(results, names, "peak", 1 / (1 << 20), False)
    text += "\n## Largest error, relative to the largest magnitude of the result\n\n" + errors(results, names)
    reasons = [f"- {workload}, {name}: {row['reason']}" for workload, rows in results.items() for name, row in rows.items() if "reason" in row]
    if reasons:
        text += "\n## Empty cells\n\n" + "\n".join(reasons) + "\n"
    return text


def errors(results, names):
    text = f"| workload | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    for workload, rows in results.items():
        cells = (f"{rows[name]['error']:.1e}" if "error" in rows.get(name, {}) else "" for name in names)
        text += f"| {workload} | {' | '.join(cells)} |\n"
    return text
