"""What capturing row changes costs: audit_log beside no capture and beside other solutions, in one run."""
