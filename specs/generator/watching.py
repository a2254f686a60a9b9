"""watch(), watch() again with each option, unwatch(), and a redacted column that is renamed."""

from . import capture
from .documents import Table, look_elsewhere, row, show
from .layout import Spec
from .printed import void
from .simulation import ACCESS_EXCLUSIVE, LEVELS, ROW_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, Step, transaction_steps

# Options before and after; no option at all is a table that is not watched.
CHANGES = {
    "watch": (None, {}),
    "watch_redacted": (None, {"redact": ["secret"]}),
    "unwatch": ({}, None),
    "redact": ({}, {"redact": ["secret"]}),
    "redact_other": ({"redact": ["note"]}, {"redact": ["secret"]}),
    "redact_no_more": ({"redact": ["secret"]}, {"redact": []}),
    "ignore": ({}, {"ignore": ["secret", "title"]}),
    "ignore_all": ({}, {"ignore": ["secret", "title", "note"]}),
    "categories": ({}, {"categories": [
        {"on": "insert", "category": "doc_filed"},
        {"on": "update", "column": "title", "from": "Cook", "to": "Baker", "category": "doc_retitled"}]}),
    "target_type": ({}, {"target_type": "paper"}),
    "target_id": ({}, {"target_id": ["code"]}),
    "target_name": ({}, {"target_name": "title"}),
    "organization": ({}, {"organization": "team"}),
    "parents": ({}, {"parents": {"job": "job"}}),
    "capture_full": ({}, {"capture": "full"}),
    "capture_keys": ({}, {"capture": "keys"}),
}
# Those that are told apart by where the options are read are also done with partitions.
WITH_PARTITIONS = ["watch", "unwatch", "redact", "categories", "rename_redacted"]

CASES = {
    "Changed before its first statement.": "w_L change look w1 w2 w_commit next show",
    "Changed after its first statement.": "w_L look change w1 w2 w_commit next show",
    "Changed after its first statement, and the session wrote before.": "earlier w_L look change w1 w2 w_commit next show",
    "Changed after its first write: that is waited for.": "w_L look w1 change w2 w_commit next show",
    "The first write waits for the change.": "w_L look c_L change w1 c_commit w2 w_commit next show",
    "Changed after a savepoint's write was rolled back.":
        "w_L look w_savepoint w1 w2 w_rollback_to change w1 w2 w_commit next show",
    "Changed before a savepoint's write is rolled back.":
        "w_L look change w_savepoint w1 w_rollback_to w1 w_savepoint w2 w_commit next show",
    "Changed between a savepoint's write and its rollback, another write before: that is waited for.":
        "w_L look w1 w_savepoint w2 change w_rollback_to w2 w_commit next show",
    "All is rolled back after the change: nothing of it stays with the session.": "w_L look change w1 w_rollback next show",
}
# These hold for one option as for the other.
MORE_CASES = {
    "Changed before the transaction begins.": "change w_L look w1 w2 w_commit next show",
    "Changed after its first statement, which read the table.": "w_L look_at_doc change w1 w2 w_commit next show",
    "The first write waits for the change, which is rolled back.": "w_L look c_L change w1 c_rollback w2 w_commit next show",
    "Changed after all was rolled back.": "w_L look w1 w_rollback change next show",
    "Emptied after the change.": "w_L look change empty w_commit show",
}
WITH_MORE_CASES = ["watch", "watch_parent", "unwatch", "redact", "redact_partition", "target_type", "rename_redacted"]


def specs():
    for name, (before, after) in CHANGES.items():
        for kind in kinds(name):
            yield change_of_options(name, kind, before, after)
    for kind in kinds("rename_redacted"):
        yield rename_redacted(kind)
    yield prepared()


def kinds(name):
    return ["table", "parent", "partition"] if name in WITH_PARTITIONS else ["table"]


def change_of_options(name, kind, before, after):
    table = Table(kind)
    wanted = None if after is None else capture.options(after)

    def does(s):
        s.configure(("watch", "doc"), wanted)
        return void("watch" if wanted else "unwatch")

    sql = capture.watch("doc", after) if wanted else "SELECT audit_log.unwatch('doc');"
    # DROP TRIGGER takes the strongest lock, CREATE TRIGGER one that readers do not mind.
    mode = SHARE_ROW_EXCLUSIVE if wanted else ACCESS_EXCLUSIVE
    writes = [
        table.insert("w", "earlier", row(9)),
        table.insert("w", "w1", row(1)),
        table.update("w", "w2", 0, {"title": "Baker", "secret": "s2"}),
        table.delete("w", "next", 0),
        table.truncate("w", "empty"),
    ]
    if kind == "parent":
        writes[2] = table.update("w", "w2", 0, {"id": 100, "title": "Baker", "secret": "s2"})
        writes[3] = table.delete("w", "next", 100)
        writes[3].locks = table.locks(ROW_EXCLUSIVE, ["doc", "doc_hi"])
    about = f"A session writes while another one changes the watch ({name}); {WHERE[kind]}."
    return spec(spec_name(name, kind), about, table, before, writes, Step("c", "change", sql, does, table.locks(mode)))


WHERE = {
    "table": "a plain table",
    "parent": "through the parent of partitions, w2 from one partition to another",
    "partition": "to a partition directly",
}


def spec_name(name, kind):
    return name if kind == "table" else f"{name}_{kind}"


def rename_redacted(kind):
    table = Table(kind)

    def does(s):
        s.configure(("renamed", "doc"), {"secret": "token"})

    writes = [
        table.insert("w", "earlier", row(9)),
        table.insert("w", "w1", row(1)),
        table.insert("w", "w2", row(2)),
        table.delete("w", "next", 0),
        table.truncate("w", "empty"),
    ]
    change = Step("c", "change", "ALTER TABLE doc RENAME COLUMN secret TO token;", does, table.locks(ACCESS_EXCLUSIVE))
    about = f"A session writes while another one renames a redacted column; {WHERE[kind].split(', w2')[0]}."
    return spec(spec_name("rename_redacted", kind), about, table, {"redact": ["secret"]}, writes, change)


def prepared():
    """The writes are prepared statements with a plan that is kept."""
    made = change_of_options("redact_prepared", "table", *CHANGES["redact"])
    made.about = "A session writes by prepared statements while another one changes the watch."
    prepare = ["SET plan_cache_mode = force_generic_plan;"]
    for name in ("w1", "w2", "next"):
        step = made.steps[name]
        prepare.append(f"PREPARE {name} AS {step.sql}")
        step.sql = f"EXECUTE {name};"
    made.sessions["w"] = (" ".join(prepare), "DEALLOCATE ALL; RESET plan_cache_mode;")
    return made


def spec(name, about, table, before, writes, change):
    setup = table.setup()
    world = ({**table.parents, ("watch", "doc"): None if before is None else capture.options(before)}, table.rows())
    if before is not None:
        setup += "\n" + capture.watch("doc", before)
    steps = [
        *transaction_steps("w"), look_elsewhere("w", "look"), table.look("w", "look_at_doc"), *writes,
        *transaction_steps("c", savepoints=False), change, show(),
    ]
    made = Spec(name, about, setup + "\nCALL spec_begins();", "DROP TABLE doc, other;", steps, world)
    cases = CASES | MORE_CASES if name in WITH_MORE_CASES else CASES
    for case, names in cases.items():
        for level in LEVELS:
            made.permutation(case, names.replace("_L", f"_{level}"))
    return made
