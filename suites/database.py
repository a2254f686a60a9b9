"""Asking the database by psql, and JSON in one form whoever wrote it."""

import json
import re
import subprocess
from decimal import Decimal

# What the session is told before each question. Values then look as capture renders them.
SETTINGS = '''
SET search_path = pg_catalog, pg_temp; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET row_security = off; SET statement_timeout = 0;
'''


class Database:
    def __init__(self, psql, host, name):
        self.command = [psql, '-X', '-q', '-A', '-t', '-h', host, '-U', 'postgres', '-d', name, '-v', 'ON_ERROR_STOP=1', '-F', '\t', '-P', 'null=\x01']

    def rows(self, sql, **variables):
        """The answer's rows, values being text; NULL is None. A text value must hold no tab and no line break, as jsonb does not."""
        command = self.command + [f'-v{name}={value}' for name, value in variables.items()]
        done = subprocess.run(command, input=SETTINGS + sql, capture_output=True, text=True, errors='surrogateescape')
        if done.returncode != 0:
            raise RuntimeError(f'{done.stderr.strip()}\nin: {sql.strip()[:300]}')
        # Not splitlines(), which also splits at characters that JSON may hold.
        lines = done.stdout.split('\n')[:-1]
        return [[None if value == '\x01' else value for value in line.split('\t')] for line in lines]

    def value(self, sql, **variables):
        return self.rows(sql, **variables)[0][0]


# timetz by PostgreSQL's own function: the log's form of an instant always has the zone's minutes.
ZONED = re.compile(r'\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d')


class Repeated(Exception):
    """A JSON object that names a key twice."""


def pairs(found):
    if len({key for key, _ in found}) < len(found):
        raise Repeated
    return dict(found)


def number(text):
    """A number as numeric prints it: no exponent, its digits kept."""
    value = Decimal(text)
    plain = format(value, 'f')
    return ('number', plain.lstrip('-') if value == 0 else plain)


def read(text):
    return json.loads(text, parse_float=number, parse_int=number, parse_constant=number, object_pairs_hook=pairs, strict=False)


def canonical(value):
    """A value as something that can be compared and counted, whatever the order of an object's keys."""
    if isinstance(value, dict):
        return ('object', tuple(sorted((key, canonical(part)) for key, part in value.items())))
    if isinstance(value, list):
        return ('array', tuple(canonical(part) for part in value))
    if isinstance(value, bool) or value is None:
        return ('constant', str(value))
    if isinstance(value, str) and ZONED.fullmatch(value):
        return f'{value}:00'
    return value
