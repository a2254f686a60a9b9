"""Runs in Superset's own environment: a database, a dataset on a view and charts' questions through its API.

ask.py REQUEST ANSWER: a JSON file with {"url", "view", "charts": {name: query}}, and one to write {"columns", "charts": {name: rows}} to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from superset.app import create_app

USER = {"username": "asker", "password": "asker"}


def main() -> None:
    """Asks everything; the first answer that is no success ends it with what Superset said."""
    request = json.loads(Path(sys.argv[1]).read_text())
    app = create_app()
    with app.app_context():
        manager = app.appbuilder.sm
        manager.add_user("asker", "A", "Sker", "asker@example.org", manager.find_role("Admin"), "asker")
    client = app.test_client()
    token = posted(client, {}, "security/login", {**USER, "provider": "db", "refresh": False})["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    database = posted(client, headers, "database/", {"database_name": "log", "sqlalchemy_uri": request["url"]})["id"]
    dataset = posted(client, headers, "dataset/", {"database": database, "schema": "audit_log", "table_name": request["view"]})["id"]
    seen = answer(client.get(f"/api/v1/dataset/{dataset}", headers=headers))["result"]["columns"]
    charts = {}
    for name, query in request["charts"].items():
        body = {"datasource": {"id": dataset, "type": "table"}, "queries": [query], "result_format": "json", "result_type": "full"}
        charts[name] = posted(client, headers, "chart/data", body)["result"][0]["data"]
    columns = {column["column_name"]: column["type"] for column in seen}
    Path(sys.argv[2]).write_text(json.dumps({"columns": columns, "charts": charts}))


def posted(client: object, headers: dict, path: str, body: dict) -> dict:
    """What the API answers."""
    return answer(client.post(f"/api/v1/{path}", json=body, headers=headers))


def answer(response: object) -> dict:
    """The JSON of a success."""
    if response.status_code not in (200, 201):
        sys.exit(f"Superset answered {response.status_code}: {response.get_data(as_text=True)}")
    return response.get_json()


if __name__ == "__main__":
    main()
