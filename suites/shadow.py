"""The log of a run of the kind shadow against what a second trigger wrote down.

Both are compared as what each transaction took from and put into each table: rows, counted. That is the same whatever
the order of triggers; and an update within it is the old row taken and the new one put, as is a move between
partitions, which a row trigger sees as a delete and an insert. An update that changes nothing has no entry, and adds
nothing to the sum. TRUNCATE is compared by its transaction and table.
"""

from collections import Counter, defaultdict

from database import Repeated, canonical, read


def whole(text):
    """A row as it was written down: json that jsonb would alter is kept as the string of its text."""
    return canonical(read(text))


def check(db):
    net = defaultdict(Counter)
    unread, written = 0, 0
    odd = set()
    for transaction, relation, old, new in db.rows('''
            SELECT s.transaction_id, s.relation, translate(s.old_row, E'\\n\\t\\r', '   '), translate(s.new_row, E'\\n\\t\\r', '   ')
            FROM suites.shadow s WHERE s.operation <> 'truncate' ORDER BY s.number'''):
        written += 1
        try:
            rows = [row and whole(row) for row in (old, new)]
        except Repeated:
            odd.add((transaction, relation))
            unread += 1
            continue
        for row, sign in zip(rows, (-1, 1)):
            if row:
                net[transaction, relation][row] += sign
    entries = 0
    logged = defaultdict(Counter)
    for transaction, relation, before, after in db.rows('''
            SELECT e.transaction_id, e.relation, e.before, e.after FROM audit_log.entry e
            WHERE e.operation IN ('insert', 'update', 'delete') ORDER BY e.occurred_at, e.id'''):
        entries += 1
        for row, sign in ((before, -1), (after, 1)):
            if row:
                logged[transaction, relation][whole(row)] += sign
    faults = []
    for key in sorted(set(net) | set(logged)):
        if key in odd:
            continue
        left = Counter({row: count for row, count in net[key].items() if count})
        right = Counter({row: count for row, count in logged[key].items() if count})
        if left != right:
            for text, this, other in (('not in the log', left, right), ('only in the log', right, left)):
                lacking = [(row, count) for row, count in this.items() if other[row] != count]
                if lacking:
                    faults.append(f'transaction {key[0]}, {key[1]}: {len(lacking)} rows {text}, the first {lacking[0][1]:+d} of {lacking[0][0]}')
    truncates = {tuple(row) for row in db.rows('''
        SELECT DISTINCT e.transaction_id, e.relation FROM audit_log.entry e WHERE e.operation = 'truncate' ''')}
    expected = {tuple(row) for row in db.rows('''
        SELECT DISTINCT s.transaction_id, s.relation FROM suites.shadow s WHERE s.operation = 'truncate' ''')}
    faults += [f'transaction {transaction}, {relation}: its TRUNCATE is not in the log' for transaction, relation in sorted(expected - truncates)]
    return faults, (f'shadow: {written} changes of rows and {len(expected)} TRUNCATEs beside {entries} entries, '
                    f'in {len(net)} pairs of transaction and table; {unread} with repeated keys were left out')
