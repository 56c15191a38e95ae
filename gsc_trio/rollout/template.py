"""The success-metrics template in Markdown: empty in the playbook, filled in after a rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.gates import GATES, Gate, Verdict, failed_names, judge_all
from gsc_trio.rollout.plan import DRILL, STAGES, THREE
from gsc_trio.rollout.wording import BLANK, figure_text, verdict_text

_MOST_DAYS_NAMED = 20


def success_metrics(verdicts: Iterable[Verdict] | None = None) -> str:
    """The table of gates.

    Args:
        verdicts: what to fill in; None leaves it empty.
    """
    judged = {verdict.gate.name: verdict for verdict in verdicts or ()}
    rows = [_metric(gate, judged.get(gate.name)) for gate in GATES]
    return _table(("gate", "what it holds", "limit", "measured", "verdict"), rows)


def report(findings: Findings) -> str:
    """A whole report of a rollout, however far it came."""
    sections = [
        f"# Rollout of {_code(findings.request.query.site_url)}",
        _verdict(findings),
        "## What to do now",
        "\n".join(f"- {line}" for line in advice(findings, quoted=_text)),
        "## What was done",
        _facts(findings),
        "## Preflight",
        _table(
            ("check", "verdict", "what was seen"),
            [(each.name, _marked(each.is_good), _text(each.text)) for each in findings.checks],
        ),
        "## Success metrics",
        success_metrics(judge_all(findings)),
        "## Runs",
        _runs(findings),
    ]
    differences = _differences(findings)
    if differences:
        sections += ["## Days that differ from the baseline", differences]
    return "\n\n".join(sections) + "\n"


def verdict(findings: Findings) -> str:
    """The outcome in one sentence."""
    if findings.interruption:
        done = [name for name, run in findings.measurements.items() if run.status == "complete"]
        return f"{findings.interruption}; complete: {', '.join(done) or 'nothing'}"
    failed = failed_names(findings)
    if failed:
        reason = f" ({findings.failure})" if findings.failure else ""
        return f"FAILED: {', '.join(failed)}{reason}"
    return "passed: every gate up to five workers, and the drill"


def _verdict(findings: Findings) -> str:
    text = _text(verdict(findings))
    return f"**{text}**" if failed_names(findings) else text


def _facts(findings: Findings) -> str:
    request = findings.request
    query = request.query
    served_by = _code(request.settings.api_root)
    if request.rehearsal is not None:
        served_by = (
            "the fake Search Console: a rehearsal, with latency scale "
            f"{request.rehearsal.latency_scale:g}, which says nothing about Google"
        )
    rows = [
        ("gsc-trio", f"{version('gsc-trio')}, on {request.today} in Pacific time"),
        ("days", f"{request.days:,}, from {request.start} to {request.end}"),
        ("days of baseline, stage 5 and drill", f"{request.baseline_days:,}"),
        ("data", f"{query.search_type} by {', '.join(query.dimensions) or 'date'}"),
        ("served by", served_by),
        (
            "batch size, queries per minute",
            f"{request.settings.batch_size:,}, {request.settings.queries_per_minute:,}",
        ),
        ("database", _code(str(request.database))),
        ("other databases", _code(str(request.folder))),
    ]
    return _table(("", ""), rows)


def _runs(findings: Findings) -> str:
    titles = (
        "stage", "workers", "status", "days", "pages", "rows", "seconds", "pages/s", "speed-up",
        "possible", "bound by", "queries", "retried",
    )  # fmt: skip
    rows = []
    for stage in STAGES:
        run = findings.measurements.get(stage.name)
        if run is None:
            continue
        has_speed = run.status == "complete" and stage is not DRILL
        rows.append(
            (
                stage.name,
                f"{run.concurrency}",
                run.status if run.status == "complete" else _text(f"{run.status}: {run.reason}"),
                f"{run.days:,}",
                f"{run.pages:,}",
                f"{run.rows:,}",
                f"{run.seconds:,.2f}",
                f"{run.pages / run.seconds:,.1f}" if run.seconds else "–",
                f"{findings.speed_up(stage):.2f} ×" if has_speed else "–",
                f"{findings.possible_speed_up(stage):.2f} ×" if has_speed else "–",
                findings.ideal(stage).bound_by if has_speed else "–",
                f"{run.queries:,}",
                f"{run.retries:,}",
            )
        )
    return _table(titles, rows)


def _differences(findings: Findings) -> str:
    rows = [
        (
            name,
            str(each.data_date),
            f"{each.rows:,}",
            f"{each.expected_rows:,}",
            "only the order of rows" if each.is_order_only else "content",
        )
        for name, comparison in findings.comparisons.items()
        for each in comparison.differences[:_MOST_DAYS_NAMED]
    ]
    if not rows:
        return ""
    return _table(("stage", "day", "rows", "rows of the baseline", "what differs"), rows)


def advice(findings: Findings, *, quoted: Callable[[str], str] = str) -> Sequence[str]:
    """What to do now, and what is where, a sentence or two each.

    Args:
        findings: what is known.
        quoted: makes a text of others harmless where the lines go.
    """
    request = findings.request
    failed = [each.gate for each in judge_all(findings) if each.has_passed is False]
    lines = [f"{_code(gate.name)}: {gate.advice}." for gate in failed]
    lines += [
        f"{_code(f'preflight/{check.name}')}: {quoted(check.text)}."
        for check in findings.checks
        if not check.is_good
    ]
    if findings.failure:
        lines.append(f"`rollout/error`: {quoted(findings.failure)}.")
    if not lines and not findings.interruption:
        return _next_step(findings)
    if lines:
        lines.append("Stay where you are: `max_concurrency` as it was before, or 1.")
    if findings.interruption or failed:
        lines.append(_how_to_repeat(findings))
    lines += [
        f"{_code(str(request.database_of(stage)))} holds {run.days:,} of {run.days_planned:,} "
        "days, as its last commit left it."
        for stage in STAGES
        if (run := findings.measurements.get(stage.name)) is not None
    ]
    return lines


def _next_step(findings: Findings) -> Sequence[str]:
    request = findings.request
    database, folder = _code(str(request.database)), _code(str(request.folder))
    if request.rehearsal is not None:
        return [
            "It was a rehearsal: now run it without `--against-fake`.",
            f"{database} holds made-up data; it and {folder} can be deleted.",
        ]
    return [
        "Set `max_concurrency = 5`, for example in the settings file. The rollback is "
        "`max_concurrency = 1`: the loop that the baseline was made with.",
        f"{database} holds the {request.days:,} days; {folder} can be deleted.",
    ]


def _how_to_repeat(findings: Findings) -> str:
    if not findings.has_begun:
        return "Nothing was begun: run the same command again."
    three = findings.measurements.get(THREE.name)
    if three is None or not three.pages:
        return "To repeat the rollout, run the same command with `--fresh`."
    path = _code(str(findings.request.database))
    return (
        f"To repeat the rollout, give another `--db`: {path} holds days now. `gsc-trio backfill` "
        "goes on with it."
    )


def _metric(gate: Gate, verdict: Verdict | None) -> tuple[str, ...]:
    limit, measured, word = gate.limit_text, BLANK, BLANK
    if verdict is not None:
        word = verdict_text(verdict)
        if verdict.has_passed is not None:
            measured = _unbroken(figure_text(gate, verdict.figure))
        if verdict.limit is not None:
            limit = _unbroken(figure_text(gate, verdict.limit))
    if limit != "0":
        limit = f"{'≥' if gate.is_minimum else '≤'}\N{NO-BREAK SPACE}{limit}"
    return (gate.name, gate.promise, limit, measured, _bold_if_failed(word))


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _marked(is_good: bool) -> str:
    return _bold_if_failed("passed" if is_good else "FAILED")


def _bold_if_failed(word: str) -> str:
    return f"**{word}**" if word == "FAILED" else word


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head, *lines = (f"| {' | '.join(cells)} |" for cells in (titles, *rows))
    return "\n".join([head, f"|{'---|' * len(titles)}", *lines])


def _code(text: str) -> str:
    """A text as it is; ``|`` would end a cell, and a backtick the code."""
    return f"`{text.replace('|', '%7C').replace('`', '%60')}`"


def _text(text: str) -> str:
    """A text of others, on one line, in which nothing is Markdown or HTML."""
    line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_|[]<>#~&!" else letter for letter in line)
