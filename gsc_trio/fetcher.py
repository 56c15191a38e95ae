"""One HTTP request for a handful of jobs: what was answered is handed on, what was not is told.

The concurrent and the sequential path both fetch through here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gsc_trio.client import Failure, SearchConsole
from gsc_trio.errors import ApiError
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.telemetry.events import PageAnswered, RequestSent
from gsc_trio.telemetry.instrument import Instruments


async def fetch_pages(
    client: SearchConsole,
    query: SearchAnalyticsQuery,
    jobs: Sequence[Job],
    grant: Grant,
    receive: Callable[[Page], Awaitable[None]],
    instruments: Instruments,
) -> list[Failure]:
    """Ask for jobs, with a plain query if it is one and with a batch otherwise.

    Args:
        client: what to ask.
        query: what to ask for.
        jobs: which days, from which rows on.
        grant: permits for all of them.
        receive: gets each page as it arrives; while it is busy, nothing more is read.
        instruments: who is told that a request goes out, and of its pages.

    Returns:
        The jobs that were not answered with a page, in the order of ``jobs``.
    """

    async def take(page: Page) -> None:
        instruments.handle(PageAnswered(page))
        await receive(page)

    failures: dict[Job, ApiError] = {}
    unanswered = dict.fromkeys(jobs)
    instruments.handle(RequestSent(queries=len(jobs), is_batch=len(jobs) > 1))
    try:
        if len(jobs) == 1:
            page = await client.query(query, jobs[0], grant=grant)
            del unanswered[page.job]
            await take(page)
        else:
            async with client.query_batch(query, jobs, grant=grant) as answers:
                async for answer in answers:
                    del unanswered[answer.job]
                    if isinstance(answer, Page):
                        await take(answer)
                    else:
                        failures[answer.job] = answer.error
    except ApiError as error:
        failures.update(dict.fromkeys(unanswered, error))
    return [Failure(job, failures[job]) for job in jobs if job in failures]
