"""gsc-trio beside what else people use for the same job: same server, same latency, same rows.

Each peer is one module, written as its own documentation and a reasonable user would write it, and
runs in a process of its own (see `benchmarks.peers.peer`). ``python -m benchmarks.peers`` measures.
"""
