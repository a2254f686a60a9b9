"""Results of queries as isolationtester prints them."""


class Table:
    """The rows of one result, in text; None is NULL."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def lines(self):
        def aligned(values):
            cells = zip(values, widths, numeric)
            return "|".join((v or "").rjust(w) if n else (v or "").ljust(w) for v, w, n in cells)

        places = range(len(self.columns))
        widths = [max(len(r[p] or "") for r in [self.columns, *self.rows]) for p in places]
        numeric = [all(looks_numeric(r[p]) for r in self.rows) for p in places]
        count = f"({len(self.rows)} row{'' if len(self.rows) == 1 else 's'})"
        rows = [aligned(row) for row in self.rows]
        return [aligned(self.columns), "+".join("-" * w for w in widths), *rows, count, ""]


def looks_numeric(value):
    """libpq's test: such columns are aligned to the right."""
    return not value or (set(value) <= set("0123456789.Ee -") and value[-1].isdigit() and value[0] not in "Ee")


def void(function):
    """What a SELECT of a function that returns void prints."""
    return Table([function], [[""]])


class Failure:
    """An error that ends a statement."""

    def __init__(self, message):
        self.message = message

    def lines(self):
        return [f"ERROR:  {self.message}"]
