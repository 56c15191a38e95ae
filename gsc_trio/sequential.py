"""The sequential path: what ``max_concurrency=1`` runs, and what every concurrent run must equal.

This loop is the specification. Jobs wait in a queue, first in, first out; the first few are
fetched; pages are handed over in the order of the queue; a full page puts its day's next job at
the end. There is no nursery, no channel and no second task here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

import trio

from gsc_trio.client import SearchConsole
from gsc_trio.config import Settings
from gsc_trio.delivery import Delivery
from gsc_trio.errors import StorageError
from gsc_trio.fetcher import fetch_pages
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.retry import RetryPolicy
from gsc_trio.telemetry.events import HaltRequested


async def run_sequentially(
    plan: Iterable[Job],
    delivery: Delivery,
    client: SearchConsole,
    query: SearchAnalyticsQuery,
    retry_policy: RetryPolicy,
    settings: Settings,
    halt_switch: HaltSwitch,
) -> None:
    """Fetch and hand over everything, one HTTP request at a time.

    Args:
        plan: the jobs to begin with, in order.
        delivery: where pages go.
        client: what is asked.
        query: what is asked for.
        retry_policy: what is done about failures.
        settings: the batch size.
        halt_switch: what stops the run, from outside and from here.
    """
    queue = deque(dict.fromkeys(plan))
    answered: dict[Job, Page] = {}

    async def receive(page: Page) -> None:
        answered[page.job] = page
        while queue and queue[0] in answered and halt_switch.halt is None:
            page = answered.pop(queue[0])
            try:
                halt = await delivery.deliver(page, InFlightChanges())
            except StorageError as error:
                halt_switch.request(Halt(str(error), status="failed", error=error))
                return
            queue.popleft()
            if page.is_full:
                queue.append(page.follow_up)
            if halt is not None:
                halt_switch.request(halt)

    failures_in_a_row = 0
    with halt_switch.scope:
        while queue:
            wanted = (job for job in queue if job not in answered)
            jobs = list(islice(wanted, settings.batch_size))
            with await client.limiter.acquire(
                client.user, query.site_url, len(jobs), at_least=1
            ) as grant:
                jobs = jobs[: grant.count]
                failures = await fetch_pages(
                    client, query, jobs, grant, receive, delivery.instruments
                )
            retry_policy.note_pages(len(jobs) - len(failures), grant)
            failures_in_a_row = failures_in_a_row + 1 if failures else 0
            if failures:
                verdict = retry_policy.judge(failures, grant, failures_in_a_row)
                if isinstance(verdict, Halt):
                    halt_switch.request(verdict)
                else:
                    await trio.sleep(verdict)
    if halt_switch.halt is not None:
        delivery.instruments.handle(HaltRequested(halt_switch.halt))
