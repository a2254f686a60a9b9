"""The log of a run of the kind watch, replayed and compared with the rows that its tables have.

For each watched table that is there at the end, its entries since it was made are folded in their order: an insert puts
its row, a delete takes it, an update takes the old row and puts the new one, TRUNCATE takes all. What is left must be
what the table holds, rendered by PostgreSQL's to_jsonb(), which shares no code with the log's own rendering. A table
with a primary key is watched by changes: an update's columns are laid over the row that its id has, which must have the
values of before. Of others each entry has the whole row, and they are counted.

What entries cannot tell is not compared: tables that were made with rows in them, before they could be watched, or that
DDL gave other columns or another name since (DDL that rewrites values leaves no entry); foreign tables (they have no rows
here); and partitioned ones of which a partition was attached, detached, dropped or truncated alone. A DETACH … CONCURRENTLY
that was cancelled has detached its partition, and fires no event trigger.
"""

from collections import Counter, defaultdict, deque

from database import canonical, read


class Rows:
    """A table's rows as its entries tell them, by id; several may have one for a moment, where a key is deferred."""

    def __init__(self):
        self.by_id = defaultdict(deque)
        self.faults = []

    def put(self, key, row):
        self.by_id[key].append(row)

    def take(self, key, known):
        """The first row of an id that has these values."""
        for row in self.by_id[key]:
            if all(name in row and canonical(row[name]) == canonical(value) for name, value in known.items()):
                self.by_id[key].remove(row)
                return row
        self.faults.append(f'no row {key!r} with {str(known)[:200]}')
        return None

    def clear(self):
        self.by_id.clear()

    def all(self):
        return Counter(canonical(row) for rows in self.by_id.values() for row in rows)


class WholeRows:
    """A table's rows, each entry having all of it: they are told apart by what they hold, so an id may be NULL."""

    def __init__(self):
        self.count = Counter()
        self.faults = []

    def put(self, _, row):
        self.count[canonical(row)] += 1

    def take(self, _, row):
        known = canonical(row)
        if self.count[known] < 1:
            self.faults.append(f'no row {str(row)[:200]}')
            return None
        self.count[known] -= 1
        return row

    def clear(self):
        self.count.clear()

    def all(self):
        return +self.count


def fold(entries, rows):
    for operation, key, before, after, old_key in entries:
        if operation == 'truncate':
            rows.clear()
        elif operation == 'insert':
            rows.put(key, read(after))
        elif operation == 'delete':
            rows.take(key, read(before))
        else:
            changed = read(after)
            row = rows.take(key if old_key is None else old_key, read(before))
            if row is not None:
                rows.put(key, {**row, **changed})
    return rows


# Since when a table's entries are its own: another of its name may have been there before.
TABLES = '''
WITH begun AS MATERIALIZED (
  SELECT coalesce(e.target_id, e.target_name) AS relation, max((extract(epoch FROM e.occurred_at) * 1000000)::bigint) AS instant
  FROM audit_log.entry e WHERE e.category = 'watch_changed' GROUP BY 1)
SELECT format('%I.%I', n.nspname, c.relname), c.relkind, w.capture,
       (SELECT b.instant FROM begun b WHERE b.relation = format('%I.%I', n.nspname, c.relname)),
       EXISTS (SELECT FROM suites.made m WHERE m.relation = c.oid AND m.shape <> suites.shape(c.oid))
       OR EXISTS (SELECT FROM suites.ddl d WHERE d.relation = c.oid)
       OR EXISTS (SELECT FROM suites.made m JOIN suites.ddl d ON d.relation = m.relation WHERE m.topmost = c.oid)
       OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid AND i.inhdetachpending)
FROM audit_log.watched w JOIN pg_class c ON c.oid = w.relation JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1
'''
ENTRIES = '''
SELECT e.relation, e.operation, e.before, e.after,
       (SELECT to_jsonb(t ->> 'id') FROM jsonb_array_elements(e.targets) t WHERE t ->> 'relation' = 'related' AND e.operation = 'update' LIMIT 1),
       (extract(epoch FROM e.occurred_at) * 1000000)::bigint, e.metadata ? 'partition', to_jsonb(e.target_id)
FROM audit_log.entry e
WHERE e.operation IS NOT NULL AND e.relation = ANY (SELECT format('%I.%I', n.nspname, c.relname)
  FROM audit_log.watched w JOIN pg_class c ON c.oid = w.relation JOIN pg_namespace n ON n.oid = c.relnamespace)
ORDER BY e.occurred_at, e.id
'''


def check(db):
    by_relation = defaultdict(list)
    for relation, operation, before, after, old_key, instant, partition, key in db.rows(ENTRIES):
        by_relation[relation].append((instant, partition == 't', (operation, key, before, after, old_key)))
    faults, compared, rows_compared, folded = [], 0, 0, 0
    left_out = Counter()
    for relation, kind, capture, since, altered in db.rows(TABLES):
        entries = [(partition, entry) for instant, partition, entry in by_relation[relation] if since is None or int(instant) > int(since)]
        reason = ('foreign' if kind == 'f' else 'altered or filled when made' if altered == 't' else
                  'a partition was truncated alone' if any(partition for partition, _ in entries) else None)
        if reason:
            left_out[reason] += 1
            continue
        if since is None:
            faults.append(f'{relation}: no entry says that it is watched')
        told = fold((entry for _, entry in entries), WholeRows() if capture == 'full' else Rows())
        only = '' if kind == 'p' else 'ONLY '
        held = Counter(canonical(read(row)) for row, in db.rows(f'SELECT to_jsonb("its row") FROM {only}{relation} AS "its row"'))
        compared += 1
        rows_compared += sum(held.values())
        folded += len(entries)
        if told.faults:
            faults.append(f'{relation} ({capture}): {len(told.faults)} entries do not follow from those before, first: {told.faults[0]}')
        if told.all() != held:
            lacking, extra = held - told.all(), told.all() - held
            faults.append(f'{relation} ({capture}): {sum(lacking.values())} of its rows do not come from the log, which has '
                          f'{sum(extra.values())} others: {str(next(iter(lacking), None))[:300]} / {str(next(iter(extra), None))[:300]}')
    left = ', '.join(f'{count} {reason}' for reason, count in sorted(left_out.items()))
    return faults, f'replay: {folded} entries of {compared} tables, {rows_compared} rows compared; left out: {left or "none"}'
