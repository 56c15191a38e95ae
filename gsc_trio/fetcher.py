"""One HTTP request for a handful of jobs: what was answered is handed on, what was not is told.

The concurrent and the sequential path both fetch through here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs

from gsc_trio.client import Admit, Failure, SearchConsole
from gsc_trio.errors import ApiError
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.telemetry.events import PageAnswered, RequestSent
from gsc_trio.telemetry.instrument import Instruments


@attrs.frozen
class Fetcher:
    """Fetches for one run.

    Args:
        client: what to ask.
        query: what to ask for.
        journal: where queries are written down before they leave.
        instruments: who is told that a request goes out, and of its pages.
    """

    client: SearchConsole
    query: SearchAnalyticsQuery
    journal: QuotaJournal
    instruments: Instruments

    async def fetch(
        self,
        jobs: Sequence[Job],
        grant: Grant,
        receive: Callable[[Page], Awaitable[None]],
        *,
        admit: Admit | None = None,
    ) -> list[Failure]:
        """Ask for jobs, with a plain query if it is one and with a batch otherwise.

        Args:
            jobs: which days, from which rows on.
            grant: permits for all of them.
            receive: gets each page as it arrives; while it is busy, nothing more is read.
            admit: what each answer is decoded in, once there is room for it; the same holds.

        Returns:
            The jobs that were not answered with a page, in the order of ``jobs``.

        Raises:
            StorageError: the queries could not be written down; none was sent.
        """

        async def take(page: Page) -> None:
            self.instruments.handle(PageAnswered(page))
            await receive(page)

        failures: dict[Job, ApiError] = {}
        unanswered = dict.fromkeys(jobs)
        async with self.journal.recorded(
            grant, len(jobs), user=self.client.user, site_url=self.query.site_url
        ):
            self.instruments.handle(RequestSent(len(jobs), len(jobs) > 1, tuple(jobs)))
            try:
                if len(jobs) == 1:
                    page = await self.client.query(self.query, jobs[0], grant=grant, admit=admit)
                    del unanswered[page.job]
                    await take(page)
                else:
                    async with self.client.query_batch(
                        self.query, jobs, grant=grant, admit=admit
                    ) as answers:
                        async for answer in answers:
                            del unanswered[answer.job]
                            if isinstance(answer, Page):
                                await take(answer)
                            else:
                                failures[answer.job] = answer.error
                            del answer  # not to hold a page while the next one is waited for
            except ApiError as error:
                failures.update(dict.fromkeys(unanswered, error))
        return [Failure(job, failures[job]) for job in jobs if job in failures]
