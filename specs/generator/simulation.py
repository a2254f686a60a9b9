"""An independent model of sessions that take turns: locks, transactions, savepoints, and the rule under test.

The rule is in `Session.config`: what anybody looks up of the log's configuration is what is committed at that moment,
and what the own transaction has changed itself. No snapshot takes part in it, whatever the isolation level.
"""

LEVELS = {"rc": "READ COMMITTED", "rr": "REPEATABLE READ", "sr": "SERIALIZABLE"}

# Table locks, each with those that it does not go together with.
ACCESS_SHARE, ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE = range(5)
CONFLICTS = {
    ACCESS_SHARE: {ACCESS_EXCLUSIVE},
    ROW_EXCLUSIVE: {SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE},
    SHARE_UPDATE_EXCLUSIVE: {SHARE_UPDATE_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE},
    SHARE_ROW_EXCLUSIVE: {ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE},
    ACCESS_EXCLUSIVE: {ACCESS_SHARE, ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE},
}


class Step:
    """A step of a session: its SQL, the locks it takes in their order, and what it does.

    `does(session)` returns what is printed: a Table, several of them, or None.
    """

    def __init__(self, session, name, sql, does, locks=()):
        self.session, self.name, self.sql, self.does, self.locks = session, name, sql, does, locks


class World:
    """What is committed: the configuration, rows by (table, id), and entries in the order they were written."""

    def __init__(self, config, rows, entries=()):
        self.config, self.rows, self.entries = dict(config), dict(rows), [(0, entry) for entry in entries]
        self.sessions = {}
        self.waiting = []
        self.clock = 0

    def session(self, name):
        return self.sessions.setdefault(name, Session(self))

    def tick(self):
        self.clock += 1
        return self.clock


class Session:
    """One connection: its open transaction, if any. Changes wait in `log` for the commit."""

    def __init__(self, world):
        self.world, self.level, self.snapshot = world, None, None
        self.log, self.locks, self.marks = [], [], {}

    # What a statement does.

    def config(self, key):
        """Of the configuration, what is committed now or was changed by this transaction."""
        return self.latest("config", key, self.world.config.get(key))

    def configure(self, key, value):
        self.log.append(("config", key, value))

    def rows(self, table):
        """The rows of a table by their ids. Only one session writes rows of a table at a time."""
        rows = {key: row for key, row in self.world.rows.items() if key[0] == table}
        rows.update({key: row for kind, key, row in self.log if kind == "row" and key[0] == table})
        return {key[1]: row for key, row in rows.items() if row is not None}

    def put(self, table, key, row):
        self.log.append(("row", (table, key), row))

    def append(self, entry):
        self.log.append(("entry", self.world.tick(), entry))

    def entries(self):
        """The entries that the statement's snapshot sees, in the order of their writing."""
        seen = self.world.entries if self.level in (None, "rc") else self.snapshot
        own = [(at, entry) for kind, at, entry in self.log if kind == "entry"]
        return [entry for _, entry in sorted([*seen, *own], key=lambda e: e[0])]

    def latest(self, kind, key, committed):
        own = [value for k, name, value in self.log if k == kind and name == key]
        return own[-1] if own else committed

    # Transactions.

    def begin(self, level):
        self.level, self.snapshot = level, None

    def take_snapshot(self):
        if self.snapshot is None:
            self.snapshot = list(self.world.entries)

    def savepoint(self):
        self.marks["s"] = (len(self.log), len(self.locks))

    def rollback_to(self):
        log, locks = self.marks["s"]
        del self.log[log:]
        del self.locks[locks:]

    def end(self, commit):
        if commit:
            for kind, key, value in self.log:
                match kind:
                    case "config":
                        self.world.config[key] = value
                    case "row":
                        self.world.rows[key] = value
                    case "entry":
                        self.world.entries.append((key, value))
        self.level, self.snapshot = None, None
        self.log, self.locks, self.marks = [], [], {}

    # Locks.

    def lock(self, needed):
        """Takes locks in their order; False where one has to be waited for. What was taken before it stays taken."""
        for table, mode in needed:
            if (table, mode) in self.locks:
                continue
            others = [s for s in self.world.sessions.values() if s is not self]
            held = [l for s in others for l in s.locks]
            if any(t == table and m in CONFLICTS[mode] for t, m in held):
                return False
            self.locks.append((table, mode))
        return True


def transaction_steps(session, levels=LEVELS, savepoints=True):
    """BEGIN at each level, COMMIT, ROLLBACK and one savepoint of a session."""
    def begin(level):
        return lambda s: s.begin(level)

    steps = [Step(session, f"{session}_{code}", f"BEGIN ISOLATION LEVEL {level};", begin(code)) for code, level in levels.items()]
    steps.append(Step(session, f"{session}_commit", "COMMIT;", lambda s: s.end(True)))
    steps.append(Step(session, f"{session}_rollback", "ROLLBACK;", lambda s: s.end(False)))
    if savepoints:
        steps.append(Step(session, f"{session}_savepoint", "SAVEPOINT s;", lambda s: s.savepoint()))
        steps.append(Step(session, f"{session}_rollback_to", "ROLLBACK TO s;", lambda s: s.rollback_to()))
    return steps


def play(world, steps):
    """The lines that isolationtester must print for these steps in this order."""
    lines = []
    for step in steps:
        assert not any(w.session == step.session for w in world.waiting), f"{step.name}: its session waits"
        done = run(world, step)
        lines += output(f"step {step.name}: {step.sql}", done)
        if done is None:
            world.waiting.append(step)
            continue
        for waiting in list(world.waiting):
            done = run(world, waiting)
            if done is not None:
                world.waiting.remove(waiting)
                lines += output(f"step {waiting.name}: <... completed>", done)
    assert not world.waiting, "a step is waiting at the end"
    return lines


def run(world, step):
    """What a step prints; None where it waits."""
    session = world.session(step.session)
    inside = session.level is not None
    if not session.lock(step.locks):
        return None
    if inside and not step.sql.startswith(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT")):
        session.take_snapshot()
    tables = step.does(session)
    if not inside and session.level is None:
        session.end(True)
    return [tables] if hasattr(tables, "lines") else (tables or [])


def output(header, tables):
    if tables is None:
        return [header + " <waiting ...>"]
    return [header] + [line for table in tables for line in table.lines()]
