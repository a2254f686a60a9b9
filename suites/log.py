#!/usr/bin/env python3
"""log.py KIND SUITE PSQL HOST DATABASE OUT: checks the audit log that a suite left in a database.

Its storage by amcheck; that list, page, sync and feed, walked to the end, give what the view entry has; and its entries:
after a run of the kind watch by replaying them (replay.py), after one of the kind shadow by what was written down beside
them (shadow.py). What was found stands in OUT/log.txt as well. CHECKS="storage walks entries" says which of these.
"""

import os
import pathlib
import sys
import time

import replay
import shadow
from database import Database

SQL = pathlib.Path(__file__).parent / 'sql'


def storage(db):
    found = db.rows((SQL / 'amcheck.sql').read_text())
    checked = found[-1]
    return [f'amcheck: {" ".join(map(str, row))}' for row in found[:-1]], f'amcheck: {checked[0]} tables and {checked[1]} indexes'


def walks(db):
    """Each way of reading ends, gives each entry once, and in its order."""
    faults = []
    rows = db.rows((SQL / 'walks.sql').read_text())
    for way, calls, read, distinct, entries, strange, missing, disordered in rows:
        if not read == distinct == entries or strange != '0' or missing != '0' or disordered != '0':
            faults.append(f'{way}: {read} rows read, {distinct} ids, of {entries} entries; {strange} that are no entries, '
                          f'{missing} entries not read, {disordered} out of order')
    told = ', '.join(f'{way} in {calls} calls' for way, calls, *_ in rows)
    return faults, f'walks: {rows[0][4]} entries by {told}'


def main(kind, suite, psql, host, name, out):
    db = Database(psql, host, name)
    faults, told = [], []
    checks = {'storage': storage, 'walks': walks, 'entries': {'watch': replay.check, 'shadow': shadow.check}[kind]}
    for check in (checks[name] for name in os.environ.get('CHECKS', ' '.join(checks)).split()):
        begun = time.monotonic()
        try:
            found, summary = check(db)
        except Exception as error:  # The other checks are of use all the same.
            found, summary = [f"{check.__name__}: {error!r}"], f'{check.__name__}: failed'
        faults += found
        told.append(f'{summary} ({time.monotonic() - begun:.0f} s)')
    missed = db.rows('SELECT relation, sqlstate, to_json(message) FROM suites.not_observed ORDER BY 1')
    told.append(f'{len(missed)} tables could not be watched')
    told += [f'  {" ".join(row)}' for row in missed]
    lines = told + [f'fault: {fault}' for fault in faults]
    (pathlib.Path(out) / 'log.txt').write_text('\n'.join(lines) + '\n', errors='surrogateescape')
    for line in lines[:60]:
        print(f'   {line[:400]}')
    if len(lines) > 60:
        print(f'   … and {len(lines) - 60} lines more in {out}/log.txt')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
