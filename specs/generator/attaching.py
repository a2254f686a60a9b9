"""A partition comes to a watched table, or leaves it, while a session writes."""

from . import capture
from .documents import COLUMNS, Table, look_elsewhere, row, show
from .layout import Spec
from .simulation import ACCESS_EXCLUSIVE, LEVELS, ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, Step, transaction_steps

ATTACHED = {
    "Attached before the first statement.": "w_L change look direct1 parent1 w_commit direct2 show",
    "Attached after the first statement.": "w_L look change direct1 parent1 w_commit direct2 show",
    "Attached after a write to another partition.": "w_L look low change direct1 parent1 w_commit direct2 show",
    "Attached after the table to be attached was written to: that is waited for.": "w_L look direct1 change w_commit direct2 parent1 show",
    "The write waits for the attaching.": "w_L look c_L change direct1 c_commit parent1 w_commit direct2 show",
    "The attaching is rolled back.": "w_L look c_L change direct1 c_rollback w_commit direct2 show",
    "Attached after a savepoint's write was rolled back.": "w_L look w_savepoint direct1 w_rollback_to change direct1 parent1 w_commit direct2 show",
    "Attached before a savepoint's write is rolled back.": "w_L look change w_savepoint direct1 w_rollback_to direct1 w_commit direct2 show",
}
DETACHED = {
    "Detached before the first statement.": "w_L change look direct1 low w_commit direct2 show",
    "Detached after the first statement.": "w_L look change direct1 low w_commit direct2 show",
    "Detached after the partition was written to: that is waited for.": "w_L look direct1 change w_commit direct2 low show",
    "The write waits for the detaching.": "w_L look c_L change direct1 c_commit w_commit direct2 show",
    "The detaching is rolled back.": "w_L look c_L change direct1 c_rollback w_commit direct2 show",
    "Detached after a savepoint's write was rolled back.": "w_L look w_savepoint direct1 w_rollback_to change direct1 w_commit direct2 show",
    "Detached, and the session wrote before.": "direct2 w_L look change direct1 w_commit low show",
}


def specs():
    yield spec("attach_partition", True, ATTACHED)
    yield spec("detach_partition", False, DETACHED)


def spec(name, attaches, cases):
    table = Table("parent")
    high = Table("partition")
    high.name, high.written, high.columns = "doc_hi", ["doc_hi"], list(COLUMNS)
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    setup = table.setup().splitlines()
    given = {"redact": ["secret"]}
    if attaches:
        setup = [line for line in setup if "doc_hi" not in line] + [f"CREATE TABLE doc_hi ({columns});"]
    setup += [capture.watch("doc", given), "CALL spec_begins();"]
    config = {("watch", "doc"): capture.options(given), ("parent", "doc_lo"): "doc", ("parent", "doc_hi"): None if attaches else "doc"}

    def does(s):
        s.configure(("parent", "doc_hi"), "doc" if attaches else None)

    if attaches:
        sql = "ALTER TABLE doc ATTACH PARTITION doc_hi FOR VALUES FROM (100) TO (200);"
        locks = [("doc", SHARE_UPDATE_EXCLUSIVE), ("doc_hi", ACCESS_EXCLUSIVE)]
    else:
        sql = "ALTER TABLE doc DETACH PARTITION doc_hi;"
        locks = [("doc", ACCESS_EXCLUSIVE), ("doc_hi", ACCESS_EXCLUSIVE)]
    routed = table.insert("w", "parent1", row(103))
    routed.locks = table.locks(ROW_EXCLUSIVE, ["doc", "doc_hi"])
    steps = [
        *transaction_steps("w"), look_elsewhere("w", "look"),
        table.insert("w", "low", row(1)), high.insert("w", "direct1", row(101)), high.insert("w", "direct2", row(102)), routed,
        *transaction_steps("c", savepoints=False), Step("c", "change", sql, does, locks), show(),
    ]
    about = f"A session writes while another one {'attaches' if attaches else 'detaches'} a partition of a watched table."
    made = Spec(name, about, "\n".join(setup), "DROP TABLE doc, other;\nDROP TABLE IF EXISTS doc_hi;", steps, (config, table.rows()))
    for case, names in cases.items():
        for level in LEVELS:
            made.permutation(case, names.replace("_L", f"_{level}"))
    return made
