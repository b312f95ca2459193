"""One run of libcachesim: sends look-ups through an empty cache, and prints look-ups, misses and seconds as JSON.

Usage: libcachesim_arm.py LRU|FIFO FILE ENTRIES

A FILE in oracleGeneral is read by the library itself, which loops without Python; it has read it once before the time
counts, so that its pages are in memory, as they are for the other arms. A FILE that ends in .npy holds look-ups and unmaps
(see events.py), each of which is a call from Python: its misses compare, its time is Python's.
"""

import json
import sys
import time

import libcachesim
import numpy as np

policy, path, entries = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Twice as many buckets as entries, rather than 2^24, which no cache holds. An object costs its size, 1, and nothing else.
make = {"LRU": libcachesim.LRU, "FIFO": libcachesim.FIFO}[policy]
size = {"hashpower": entries.bit_length() + 1, "consider_obj_metadata": False}

if path.endswith(".npy"):
    steps = np.load(path).tolist()
    cache = make(entries, **size)
    request = libcachesim.Request()
    request.obj_size = 1
    lookups = misses = 0
    start = time.perf_counter()
    for step in steps:
        if step < 0:
            cache.remove(~step)
            continue
        request.obj_id = step
        lookups += 1
        misses += not cache.get(request)
    seconds = time.perf_counter() - start
else:
    reader = libcachesim.TraceReader(path, libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    make(1, **size).process_trace(reader)
    reader.reset()
    cache = make(entries, **size)
    start = time.perf_counter()
    miss_ratio, _ = cache.process_trace(reader)
    seconds = time.perf_counter() - start
    lookups = reader.get_num_of_req()
    # A double holds a ratio of two such numbers exactly enough to give the number back.
    misses = round(miss_ratio * lookups)

print(json.dumps({"lookups": lookups, "misses": misses, "seconds": seconds}))
