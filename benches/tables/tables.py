"""Measures the tables of docs/performance.md and writes them between their markers. `run`, beside it, says how to call it."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import events

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
DOCUMENT = PROJECT / "docs" / "performance.md"
FIXTURE = PROJECT / "tests" / "fixtures" / "sriov-small.events.parquet"
# Share of the machine that others may take before its timings are of no use.
OTHERS_MAX = 0.05


def output(*command) -> str:
    """What a command prints; its failure is ours."""
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def in_turn(runs: int, arms: dict) -> dict[str, list]:
    """What each arm returns, called so many times, one arm after the other."""
    results = {name: [] for name in arms}
    for _ in range(runs):
        for name, arm in arms.items():
            results[name].append(arm())
    return results


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    middle = statistics.median(values)
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Tables:
    """What is measured, small (`quick`) or in full."""

    def __init__(self, options):
        self.quick: bool = options.quick
        self.runs = 1 if options.quick else 5
        self.scratch: Path = options.scratch
        self.release: Path = options.target / "release"
        self.cachesim: Path | None = options.cachesim
        self.others: list[float] = []
        self.failures: list[str] = []
        # What was built; sources may have left their repository.
        git = ("git", "describe", "--always", "--dirty", "--abbrev=10")
        self.commit = subprocess.run(git, cwd=PROJECT, capture_output=True, text=True).stdout.strip() or "no commit"

    # The machine

    def look_around(self) -> float:
        """The share of the machine that is busy while this waits."""

        def times():
            user, nice, system, idle, wait, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
            return idle + wait, user + nice + system + idle + wait + sum(rest)

        idle, total = times()
        time.sleep(0.2 if self.quick else 2)
        idle_after, total_after = times()
        self.others.append(1 - (idle_after - idle) / (total_after - total))
        return self.others[-1]

    def machine(self, load_before: str, seconds: float) -> str:
        about = {entry["field"].rstrip(":"): entry["data"] for entry in json.loads(output("lscpu", "-J"))["lscpu"]}
        caches = ", ".join(f"{level} {about[f'{level} cache']}" for level in ("L2", "L3") if f"{level} cache" in about)
        memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        rows = [
            ["processor", f"{about.get('Model name', about['Architecture'])}, {os.cpu_count()} logical CPUs ({caches})"],
            ["memory", f"{int(memory[1]) / 2**20:.1f} GiB"],
            ["system", f"{output('uname', '-sr').strip()}, {output('rustc', '--version').strip()}"],
            ["load average before and after", f"{load_before}; {load_average()}"],
            ["others, between the measurements", f"at most {max(self.others):.1%} of the machine"],
            ["measured at", f"{self.commit}, in {seconds / 60:.0f} minutes, {self.runs} runs of each by turns"],
        ]
        return markdown(["", ""], rows)

    # The engine

    def end_to_end(self) -> str:
        cases = [("fleet-4096", 100_000_000, 2), ("fleet-4096", 100_000_000, 1), ("dense-1024", 10_000_000, 1)]
        if self.quick:
            cases = [(scenario, 100_000, threads) for scenario, _, threads in cases]

        def arm(scenario, requests, threads):
            place = ("--out", self.scratch / "run", "--force", "--quiet", "--json")
            changes = ("--set", f"requests={requests}", "--threads", threads)
            return lambda: json.loads(output(self.release / "portcullis", "run", scenario, *changes, *place))

        arms = {f"portcullis run {case[0]} --set requests={case[1]} --threads {case[2]}": arm(*case) for case in cases}
        rows = []
        for command, results in in_turn(self.runs, arms).items():
            rates = [result["dma_total"] / result["wall_simulate_s"] / 1e6 for result in results]
            memory = max(result["wall_peak_memory_bytes"] for result in results)
            rows.append([f"`{command}`", spread(rates), f"{memory / 2**20:.0f} MiB"])
        return markdown(["command", "M DMAs a second", "peak memory"], rows)

    def stages(self) -> str:
        dmas = 50_000 if self.quick else 10_000_000
        scenarios = ("fleet-4096", "dense-1024")

        def arm(scenario):
            return lambda: dict(
                re.findall(r"^(\w+) +([\d.]+) ns a DMA$", output(self.release / "examples/stages", scenario, dmas), re.M)
            )

        results = in_turn(self.runs, {scenario: arm(scenario) for scenario in scenarios})
        rows = []
        for stage in results[scenarios[0]][0]:
            figures = [spread([float(run[stage]) for run in results[scenario]]) for scenario in scenarios]
            rows.append([stage if stage == "all" else f"`{stage}`", *figures])
        return markdown(["stage", *(f"{scenario}, ns a DMA" for scenario in scenarios)], rows)

    def translation(self) -> str:
        """The bench `translation`, from what criterion writes."""
        cases = {
            "uniform_1024_sets": "uniform, 1,024 sets",
            "zipf_1024_sets": "Zipf 0.99, 1,024 sets",
            "zipf_4096_sets": "Zipf 0.99, 4,096 sets",
            "zipf_65536_sets": "Zipf 0.99, 65,536 sets",
            "hot_256_pages": "256 hot pages, 64 sets",
        }
        how = ("--warm-up-time", "0.5", "--measurement-time", "2")
        if self.quick:
            cases = {"hot_256_pages": cases["hot_256_pages"]}
            how = ("--warm-up-time", "0.02", "--measurement-time", "0.05")
        os.environ["CRITERION_HOME"] = str(self.scratch / "criterion")
        only = list(cases) if self.quick else []
        output("cargo", "bench", "--locked", "--bench", "translation", "--", "--noplot", *how, *only)
        arms = {
            "stage": "stage, walks and all",
            "functional": "the engine's IOTLB and page tables, filled at once",
            "bare_prefetched": "bare loop, prefetched",
            "bare": "bare loop: columns",
            "entity_per_request": "an entity a request, spawned and despawned",
            "boxed_objects": "boxed objects, hash maps",
        }
        rows = []
        for case, title in cases.items():
            rates = []
            for arm in arms:
                found = self.scratch / "criterion" / f"translation_{case}" / arm / "new"
                elements = json.loads((found / "benchmark.json").read_text())["throughput"]["Elements"]
                median = json.loads((found / "estimates.json").read_text())["median"]
                # Nanoseconds an iteration; the shortest time is the greatest rate.
                interval = median["confidence_interval"]
                times = (median["point_estimate"], interval["upper_bound"], interval["lower_bound"])
                rates.append(spread([elements / nanoseconds * 1e3 for nanoseconds in times]))
            rows.append([title, *rates])
        return markdown(["pages", *arms.values()], rows)

    # The caches of others

    def rust(self, arm: str, path: Path, entries: int):
        return lambda: json.loads(output(self.release / "examples/lookups", arm, path, entries))

    def libcachesim(self, policy: str, path: Path, entries: int):
        return lambda: json.loads(output(sys.executable, HERE / "libcachesim_arm.py", policy, path, entries))

    def cachesim_rs(self, path: Path, entries: int, lookups: int):
        """Under FIFO, the nearest it has to a policy of ours: it evicts segments, here of one item of 16 bytes."""
        parquet = path.with_suffix(".parquet")
        output(self.cachesim, "convert", "--input", path, "--output", parquet)
        size = ("--cache-size", entries * 16, "--segment-size", 16, "--max-obj-size", 1)
        buckets = ("--hash-power", min(26, max(16, entries.bit_length() + 4)))

        def run():
            start = time.perf_counter()
            said = output(self.cachesim, "simulate", "--trace", parquet, "--eviction", "fifo", *size, *buckets)
            seconds = time.perf_counter() - start
            misses = re.search(r"^ *misses: +(\d+)$", said, re.M)
            return {"lookups": lookups, "misses": int(misses[1]), "seconds": seconds}

        return run

    def replay(self, trace: Path, entries: int):
        """The row of a whole replay."""
        place = ("--out", self.scratch / "replay", "--force", "--quiet", "--json")
        changes = ("--set", f"iommu.iotlb.entries={entries}", "--set", "iommu.iotlb.ways=full")
        return json.loads(output(self.release / "portcullis", "replay", trace, *changes, *place))

    def replay_arm(self, trace: Path, entries: int):
        def run():
            row = self.replay(trace, entries)
            return {"lookups": row["iotlb_lookups"], "misses": row["iotlb_misses"], "seconds": row["wall_simulate_s"]}

        return run

    def more_than_a_cache(self, trace: Path, kinds: set[str]) -> list[str]:
        """Why the misses of a replay are not those of a cache whose objects are removed when they are unmapped."""
        row = self.replay(trace, 64)
        reasons = [f"{kind} events" for kind in sorted(kinds - events.COMPARED)]
        reasons += [f"{row[column]} in {column}" for column in ("dma_blocked", "refused_total") if row[column]]
        return reasons

    def compare(self, stream: str, entries: str, arms: dict, misses_known: int | None = None) -> list[list[str]]:
        """Rows of arms that are called by turns: (policy and cache, whose misses must agree where the policy does)."""
        rows = []
        agreed: dict[str, int] = {} if misses_known is None else {"LRU": misses_known, "FIFO": misses_known}
        for (policy, cache), results in in_turn(self.runs, arms).items():
            rates = [result["lookups"] / result["seconds"] / 1e6 for result in results]
            misses = sorted({result["misses"] for result in results})
            counted = f"{misses[0]:,}" if len(misses) == 1 else f"{misses[0]:,} to {misses[-1]:,}"
            rows.append([stream, entries, policy, cache, spread(rates), counted])
            if policy not in ("LRU", "FIFO"):
                continue
            expected = agreed.setdefault(policy, misses[0])
            if misses != [expected]:
                self.failures.append(f"{stream}, {entries} entries: {cache} misses {misses}, not {expected}")
        return rows

    def caches(self, stream: str, path: Path, capacities: list[int], fifo: list[int]) -> list[list[str]]:
        """Look-ups without unmaps through every cache; `fifo` are the capacities at which FIFO is compared too."""
        objects = np.fromfile(path, events.RECORD)["object"]
        leaves = len(np.unique(objects))
        stream = f"{stream}: {len(objects):,} of {leaves:,} leaves"
        rows = []
        for entries in capacities:
            arms = {
                ("LRU", "**Portcullis, IOTLB**"): self.rust("iotlb", path, entries),
                ("LRU", "**Portcullis, replay**"): self.rust("replay", path, entries),
                ("LRU", "lru 0.19 (Rust)"): self.rust("lru-crate", path, entries),
                ("LRU", "libcachesim 0.3.5"): self.libcachesim("LRU", path, entries),
                ("LRU in sets of 8", "**Portcullis, IOTLB**"): self.rust("iotlb-8-ways", path, entries),
            }
            if entries in fifo:
                arms["FIFO", "**Portcullis, IOTLB**"] = self.rust("iotlb-fifo", path, entries)
                arms["FIFO", "libcachesim 0.3.5"] = self.libcachesim("FIFO", path, entries)
                if self.cachesim:
                    cache = ("FIFO by the second", "cachesim-rs 0.1.0")
                    arms[cache] = self.cachesim_rs(path, entries, len(objects))
            rows += self.compare(stream, f"{entries:,}", arms)
        return rows

    def peers(self, trace: Path, synthetic: bool) -> str:
        rows = []
        if synthetic:
            path = self.scratch / "zipf.oracleGeneral.bin"
            output(self.release / "examples/lookups", "dump", path, 200_000 if self.quick else 10_000_000)
            rows += self.caches("Zipf", path, [32_768] if self.quick else [1_024, 32_768], [32_768])
            path.unlink()
        found = events.LookUps(trace)
        objects = found.objects()
        if len(objects) == 0:
            raise SystemExit(f"{trace}: no look-up")
        path = self.scratch / "trace.oracleGeneral.bin"
        events.write(path, objects)
        rows += self.caches("trace", path, [64, 1_024], [])
        if self.cachesim:
            # Whatever is evicted first, a cache with room for all misses each leaf once.
            leaves = len(np.unique(objects))
            room = 2 * leaves
            arms = {
                ("LRU", "**Portcullis, IOTLB**"): self.rust("iotlb", path, room),
                ("FIFO", "cachesim-rs 0.1.0"): self.cachesim_rs(path, room, len(objects)),
            }
            rows += self.compare(f"trace: {len(objects):,} of {leaves:,} leaves", f"{room:,}, room for all", arms, leaves)
        if reasons := self.more_than_a_cache(trace, found.events):
            print(f"{trace}: unmaps are left out, for there are {', '.join(reasons)}")
        else:
            steps = self.scratch / "trace.npy"
            np.save(steps, np.frombuffer(found.steps, dtype=np.int64))
            for entries in (64, 256, 1_024):
                arms = {
                    ("LRU", "**`portcullis replay`**, report and all"): self.replay_arm(trace, entries),
                    ("LRU", "libcachesim 0.3.5, called from Python"): self.libcachesim("LRU", steps, entries),
                }
                rows += self.compare("trace, unmaps and all", f"{entries:,}", arms)
        return markdown(["look-ups", "entries", "policy", "cache", "M look-ups a second", "misses"], rows)


def load_average() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def write(tables: dict[str, str], only_check: bool) -> None:
    """Puts each table between its markers in the document, which must have all of them and no others."""
    text = DOCUMENT.read_text()
    marked = re.findall(r"^<!-- table: ([a-z-]+) -->$", text, re.M)
    if sorted(marked) != sorted(tables):
        raise SystemExit(f"{DOCUMENT}: it has marks for {sorted(marked)}, and there are {sorted(tables)}")
    for name, table in tables.items():
        mark = f"<!-- table: {name} -->"
        between = re.compile(rf"{re.escape(mark)}\n.*?<!-- end of table -->", re.S)
        text, count = between.subn(lambda _: f"{mark}\n{table}\n<!-- end of table -->", text)
        if count != 1:
            raise SystemExit(f"{DOCUMENT}: {name} has no end")
    if not only_check:
        DOCUMENT.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benches/tables/run")
    parser.add_argument("--quick", action="store_true", help="each measurement once and small; writes nothing")
    parser.add_argument("--busy", action="store_true", help="measure though others use the machine; writes nothing")
    parser.add_argument("--events", type=Path, help="the caches alone, on this trace; writes nothing")
    for given_by_run in ("--target", "--scratch", "--cachesim"):
        parser.add_argument(given_by_run, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    start, load_before = time.monotonic(), load_average()
    tables = Tables(options)
    made = {}
    measured = {
        "end-to-end": tables.end_to_end,
        "stages": tables.stages,
        "translation": tables.translation,
        "peers": lambda: tables.peers(FIXTURE, synthetic=True),
    }
    if options.events:
        measured = {"peers": lambda: tables.peers(options.events.resolve(), synthetic=False)}
    for name, measure in measured.items():
        busy = tables.look_around()
        if busy > OTHERS_MAX and not (options.quick or options.busy):
            raise SystemExit(f"others take {busy:.0%} of the machine: no timing would be of use (see --busy)")
        print(f"-- {name}", flush=True)
        made[name] = measure()
        print(f"\n{made[name]}\n", flush=True)
    tables.look_around()
    made["machine"] = tables.machine(load_before, time.monotonic() - start)
    print(f"-- machine\n\n{made['machine']}\n")
    if tables.failures:
        raise SystemExit("miss counts differ:\n" + "\n".join(tables.failures))
    print("miss counts agree")
    if not options.events:
        write(made, only_check=options.quick or options.busy)


main()
