"""Thousands of properties on many machines: user shards, on Postgres and Procrastinate.

Google counts queries by user, so everything that one user asks for is a *shard*, and a shard is
worked on by one process at a time: then that process's rate limiter is exact, and nothing is shared
between machines on the way of a query.

    settings file ──► plan: an account's properties are its shard, with its slice of the project
                        │ enqueue: one job a shard
                        ▼
    Postgres:  jobs of Procrastinate · leases with fencing tokens · data · quota journal · board
                        ▲ fetch a job, take the lease            ▲ every commit checks the token
                        │                                        │
    machines:  a worker process (asyncio) ── a thread a shard ── trio.run: sync of its properties

`gsc_trio.shards.plan` says which shards there are, `gsc_trio.shards.jobs` keeps them in
Procrastinate's tables, `gsc_trio.shards.worker` takes them from there, `gsc_trio.shards.run` works
on one, `gsc_trio.shards.store` is the database as a shard sees it, and `gsc_trio.shards.board`
tells who does what. What of it needs Procrastinate or psycopg is loaded only when it is used.
"""
