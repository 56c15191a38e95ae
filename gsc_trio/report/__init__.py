"""What a run did, seen afterwards: recorded while it runs, kept as one object, shown as a page.

::

    recorder = RunRecorder()
    summary = await backfill(client, query, store, ..., instruments=[recorder])
    record = recorder.record(summary, query, settings)
    Path("run.html").write_text(render(record), encoding="utf-8")

`gsc_trio.report.record` says what is kept, and nothing else is shown: a page that is made a year
later from the database is the one that could have been made at once.
"""
