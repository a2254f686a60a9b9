"""Has PostgreSQL-Audit version the table jobs: postgresql_audit_setup.py SOCKET_DIRECTORY DATABASE."""

import sys

import sqlalchemy
from postgresql_audit import versioning_manager
from sqlalchemy import BigInteger, Column, DateTime, Numeric, Text
from sqlalchemy.orm import configure_mappers, declarative_base

Base = declarative_base()
versioning_manager.init(Base)


class Job(Base):
    """A job opening, as the applicant tracker has it."""

    __tablename__ = "jobs"
    __versioned__ = {}

    id = Column(BigInteger, primary_key=True, autoincrement=False)
    organization_id = Column(Text, nullable=False)
    title = Column(Text, nullable=False)
    department = Column(Text, nullable=False)
    location = Column(Text, nullable=False)
    status = Column(Text, nullable=False)
    employment_type = Column(Text, nullable=False)
    salary_min = Column(Numeric(10, 2))
    salary_max = Column(Numeric(10, 2))
    description = Column(Text)
    created_at = Column(DateTime(timezone=True), nullable=False)
    updated_at = Column(DateTime(timezone=True), nullable=False)


def main() -> None:
    """Makes the package's tables and functions, then has it audit the table, which is there already."""
    socket, database = sys.argv[1:]
    configure_mappers()
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://postgres@/{database}?host={socket}")
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(versioning_manager.build_audit_table_query(Job.__table__))


if __name__ == "__main__":
    main()
