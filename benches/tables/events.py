"""The look-ups of a trace of events, as a file that cache simulators read.

A look-up is of a leaf of a domain. In one number: the domain, numbered in the order of its first attach, above 2 bits of the
leaf's size above 45 bits of its first page's number; `benches/src/lookups.rs` reads the same.
"""

from array import array
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet

# libCacheSim's oracleGeneral.
RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next_access", "<i8")])
SHIFTS = (12, 21, 30)
COLUMNS = ("event", "device", "domain", "iova", "size", "perm", "length", "op")
# Other events invalidate more than the leaf they name, or less.
COMPARED = {"attach", "detach", "map", "unmap", "dma"}


def rows(path: Path):
    """The events of a file in order, as tuples of COLUMNS; what does not apply is None."""
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(columns=list(COLUMNS))
    else:
        types = {name: pyarrow.string() for name in COLUMNS}
        options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, include_columns=COLUMNS)
        batches = pyarrow.csv.open_csv(path, convert_options=options)
    for batch in batches:
        columns = batch.to_pydict()
        if not is_parquet:
            for name in ("device", "domain", "iova", "size", "length"):
                columns[name] = [None if text is None else int(text, 0) for text in columns[name]]
        yield from zip(*(columns[name] for name in COLUMNS))


class LookUps:
    """The look-ups of a trace, and the unmaps between them."""

    def __init__(self, path: Path):
        self.steps = array("q")  # an object that is looked up, or the complement of one that is unmapped
        self.events: set[str] = set()
        self._attached: dict[int, int] = {}
        self._domains: dict[int, int] = {}
        self._leaves: dict[int, str] = {}
        for event, device, domain, iova, size, perm, length, op in rows(path):
            self.events.add(event)
            match event:
                case "attach":
                    self._attached[device] = domain
                case "detach":
                    self._attached.pop(device, None)
                case "map":
                    self._leaves[self._object(domain, iova, SHIFTS.index(size.bit_length() - 1))] = perm
                case "unmap" | "unmap_deferred":
                    leaf = self._object(domain, iova, SHIFTS.index(size.bit_length() - 1))
                    if self._leaves.pop(leaf, None) is not None and event == "unmap":
                        self.steps.append(~leaf)
                case "dma":
                    self._dma(self._attached.get(device), iova, length, op)

    def objects(self) -> np.ndarray:
        """The look-ups without the unmaps."""
        steps = np.frombuffer(self.steps, dtype=np.int64)
        return steps[steps >= 0]

    def _object(self, domain: int, iova: int, size: int) -> int:
        number = self._domains.setdefault(domain, len(self._domains))
        page = iova >> SHIFTS[size] << (SHIFTS[size] - 12)
        if number >= 1 << 16 or page >= 1 << 45:
            raise SystemExit(f"domain {domain}, IOVA {iova:#x}: 65,536 domains of 57 bits can be compared")
        return number << 47 | size << 45 | page

    def _dma(self, domain: int | None, iova: int, length: int, op: str) -> None:
        """Looks up every leaf that is touched, up to the first that faults."""
        end = iova + length
        while domain is not None and iova < end:
            for size, shift in enumerate(SHIFTS):
                leaf = self._object(domain, iova, size)
                if op in self._leaves.get(leaf, "none"):  # `rw` holds `r`; `none` holds neither
                    self.steps.append(leaf)
                    iova = (iova >> shift) + 1 << shift
                    break
            else:
                return


def write(path: Path, objects: np.ndarray) -> None:
    """Look-ups as oracleGeneral: all at time 0, so that nothing expires; every size is 1, so that a capacity in bytes is one in
    entries; -1 is an access not known."""
    records = np.zeros(len(objects), RECORD)
    records["object"] = objects
    records["size"] = 1
    records["next_access"] = -1
    records.tofile(path)
