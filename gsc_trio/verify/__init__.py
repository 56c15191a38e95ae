"""Proof that a database holds what it should: rows against ledger, and against Google's totals.

`gsc_trio.verify.judge` says what a day's counts mean, `gsc_trio.verify.totals` asks for totals,
`gsc_trio.verify.run` brings both together for the datasets of a database.
"""
