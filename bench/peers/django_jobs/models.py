"""The table jobs as a Django model, every change of it tracked in an event model."""

import pghistory
from django.conf import settings
from django.db import models


@pghistory.track(
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(),
    pghistory.DeleteEvent(),
    level=settings.TRACKING_LEVEL,
)
class Job(models.Model):
    """A job opening, as the applicant tracker has it."""

    id = models.BigIntegerField(primary_key=True)
    organization_id = models.TextField()
    title = models.TextField()
    department = models.TextField()
    location = models.TextField()
    status = models.TextField()
    employment_type = models.TextField()
    salary_min = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    salary_max = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    description = models.TextField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "jobs"
