"""The table that most specs write to, plain or partitioned, and the writes."""

from . import capture
from .simulation import ACCESS_EXCLUSIVE, ACCESS_SHARE, ROW_EXCLUSIVE, Step

COLUMNS = {
    "id": "int PRIMARY KEY", "code": "text", "title": "text", "secret": "text", "note": "text", "team": "text", "job": "int",
}
# A partition has its columns in another order than its parent.
PARTITION_COLUMNS = ["note", "job", "id", "secret", "title", "team", "code"]
MEMBERS = ["doc", "doc_lo", "doc_hi"]


def row(key, title="Cook", secret="s", note="n", team="acme"):
    return dict(zip(COLUMNS, [key, f"k{key}", title, f"{secret}{key}", f"{note}{key}", team, 7]))


FIRST = row(0)


class Table:
    """Where a spec writes: `name` is what its statements name, `members` all tables that are locked with doc."""

    def __init__(self, kind):
        self.kind = kind
        self.name = "doc_lo" if kind == "partition" else "doc"
        self.members = ["doc"] if kind == "table" else MEMBERS
        self.columns = PARTITION_COLUMNS if kind == "partition" else list(COLUMNS)
        # What a write to the lower rows locks.
        self.written = {"table": ["doc"], "parent": ["doc", "doc_lo"], "partition": ["doc_lo"]}[kind]
        self.parents = {("parent", member): "doc" for member in self.members[1:]}

    def setup(self):
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        partition = ", ".join(f"{name} {COLUMNS[name].split()[0]}" for name in PARTITION_COLUMNS)
        lines = ["CREATE TABLE other (n int);"]
        if self.kind == "table":
            lines.append(f"CREATE TABLE doc ({columns});")
        else:
            lines += [
                f"CREATE TABLE doc ({columns}) PARTITION BY RANGE (id);",
                f"CREATE TABLE doc_lo ({partition.replace(' id int', ' id int NOT NULL')});",
                "ALTER TABLE doc ATTACH PARTITION doc_lo FOR VALUES FROM (0) TO (100);",
                "CREATE TABLE doc_hi PARTITION OF doc FOR VALUES FROM (100) TO (200);",
            ]
        return "\n".join([*lines, f"INSERT INTO doc VALUES {values(FIRST, COLUMNS)};"])

    def locks(self, mode, tables=None):
        return [(table, mode) for table in (tables or self.members)]

    def rows(self):
        return {("doc", 0): FIRST}

    def insert(self, session, name, made):
        def does(s):
            s.put("doc", made["id"], made)
            capture.changed(s, self.name, "insert", None, made)

        sql = f"INSERT INTO {self.name} VALUES {values(made, self.columns)};"
        return Step(session, name, sql, does, self.locks(ROW_EXCLUSIVE, self.written))

    def update(self, session, name, key, changes):
        def does(s):
            if (old := s.rows("doc").get(key)) is None:
                return
            new = {**old, **changes}
            if new["id"] != key:
                s.put("doc", key, None)
            s.put("doc", new["id"], new)
            capture.changed(s, self.name, "update", old, new)

        sql = f"UPDATE {self.name} SET {', '.join(f'{c} = {literal(v)}' for c, v in changes.items())} WHERE id = {key};"
        written = self.members if changes.get("id", 0) >= 100 else self.written
        return Step(session, name, sql, does, self.locks(ROW_EXCLUSIVE, written))

    def delete(self, session, name, key):
        def does(s):
            if (old := s.rows("doc").get(key)) is not None:
                s.put("doc", key, None)
                capture.changed(s, self.name, "delete", old, None)

        sql = f"DELETE FROM {self.name} WHERE id = {key};"
        return Step(session, name, sql, does, self.locks(ROW_EXCLUSIVE, self.written))

    def truncate(self, session, name):
        def does(s):
            for key in s.rows("doc"):
                if self.kind != "partition" or key < 100:
                    s.put("doc", key, None)
            capture.changed(s, self.name, "truncate", None, None)

        emptied = ["doc_lo"] if self.kind == "partition" else self.members
        return Step(session, name, f"TRUNCATE {self.name};", does, self.locks(ACCESS_EXCLUSIVE, emptied))

    def look(self, session, name):
        sql = "DO $$BEGIN PERFORM FROM doc; END$$;"
        return Step(session, name, sql, lambda s: None, self.locks(ACCESS_SHARE))


def literal(value):
    return f"'{value}'" if isinstance(value, str) else str(value)


def values(row, columns):
    return "(" + ", ".join(literal(row[c]) for c in columns) + ")"


def look_elsewhere(session, name):
    """A first statement that takes the transaction's snapshot and has nothing to do with the log."""
    return Step(session, name, "DO $$BEGIN PERFORM FROM other; END$$;", lambda s: None)


def show(session="r", name="show"):
    return Step(session, name, "SELECT * FROM spec_changes;", capture.shown)
