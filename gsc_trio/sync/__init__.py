"""Bringing a database up to date: new days, days that were not final, days that are missing.

`gsc_trio.sync.targets` says what is to be kept, `gsc_trio.sync.needs` what it lacks,
`gsc_trio.sync.run` fetches that for one target after another, `gsc_trio.sync.budget` ends a run
after so many queries, and `gsc_trio.sync.whole_days` replaces days all at once.
"""
