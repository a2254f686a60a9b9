"""The throwaway cluster, and what of it only this benchmark asks: WAL, checkpoints, the table jobs."""

from __future__ import annotations

from shared import server


class Server(server.Server):
    """A running cluster, reached by the socket in its directory as the user postgres."""

    def wal_position(self) -> int:
        """Bytes of WAL written so far, those in buffers included."""
        return int(self.admin.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0])

    def last_checkpoint(self) -> str:
        """Changes with every checkpoint."""
        return self.admin.execute("SELECT redo_lsn::text FROM pg_control_checkpoint()").fetchone()[0]

    def vacuum(self, database: str, table: str = "jobs") -> None:
        """Frees what dead rows took, so that the table is as large as before."""
        self.run(database, f"VACUUM {table}")

    def freshly_checkpointed(self, database: str) -> None:
        """Writes every page of jobs to WAL once after a checkpoint: what follows then has no full pages to write."""
        self.run(database, "SELECT count(*) FROM (SELECT FROM jobs FOR UPDATE) locked", "VACUUM jobs")
