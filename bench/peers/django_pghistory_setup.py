"""Has django-pghistory track the table jobs: django_pghistory_setup.py SOCKET_DIRECTORY DATABASE row|statement."""

import sys

import django
import pgtrigger
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    """Makes the event table, which the tracked table is not (it is there already), and the triggers."""
    socket, database, level = sys.argv[1:]
    settings.configure(
        INSTALLED_APPS=["django_jobs", "pgtrigger", "pghistory"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": socket,
                "USER": "postgres",
                "NAME": database,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        TRACKING_LEVEL={"row": pgtrigger.Row, "statement": pgtrigger.Statement}[level],
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("pgtrigger", "install", verbosity=0)


if __name__ == "__main__":
    main()
