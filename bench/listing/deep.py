"""Page 1,000 of a listing beside its first page."""

from __future__ import annotations

from statistics import median

from listing.case import LIST, PAGE, Case
from listing.measurement import CALL_SECONDS, Measurement
from listing.session import Answer, Session

PAGES = 1000
REACH = 1.2


def measure(run: Measurement) -> None:
    """The ratio of medians; both pages are full. Where a listing has not as many pages, its last full one is taken."""
    session, dataset = run.session(), run.dataset
    for subject, case in {
        "no filter": Case(dataset.month),
        "organization common": Case(dataset.month, {"organization": (dataset.common("organization")[-1],)}),
        "actor_ids common": Case(dataset.month, {"actor_ids": (dataset.common("actor_ids")[-1],)}),
        "categories common": Case(dataset.month, {"categories": (dataset.common("categories")[-1],)}),
        "target_types common": Case(dataset.month, {"target_types": (dataset.common("target_types")[-1],)}),
    }.items():
        try:
            cursor, page = follow(session, case)
        except TimeoutError as error:
            run.figures.leave_out(f"deep: {subject}", str(error))
            continue
        first, last = [], []
        for number in range(run.calls + 1):
            for times, at in ((first, None), (last, cursor)) if number % 2 else ((last, cursor), (first, None)):
                answer = session.run(LIST, case.parameters(at))
                if number:
                    times.append(answer.seconds)
        note = "" if page == PAGES else f"page {page:,}: there are no more"
        run.figures.add("deep", subject, "page 1", "ms", median(first) * 1000, calls=run.calls)
        run.figures.add("deep", subject, f"page {PAGES:,}", "ms", median(last) * 1000, calls=run.calls)
        run.figures.add("deep", subject, "ratio", "times", median(last) / median(first), reach=REACH, note=note)
    session.close()


def follow(session: Session, case: Case) -> tuple[str | None, int]:
    """The cursor that leads to page PAGES, or to the last full page, and which page that is."""
    cursors: list[str | None] = [None]
    while len(cursors) < PAGES:
        following = page_of(session, case, cursors[-1]).last("next_cursor")
        if following is None:
            break
        cursors.append(following)
    if len(cursors) > 1 and page_of(session, case, cursors[-1]).rows < PAGE:
        cursors.pop()
    return cursors[-1], len(cursors)


def page_of(session: Session, case: Case, cursor: str | None) -> Answer:
    """A page; fails where it takes too long."""
    answer = session.run(LIST, case.parameters(cursor))
    if answer.timed_out:
        raise TimeoutError(f"a page of {case.label()} took longer than {CALL_SECONDS:.0f} s")
    return answer
