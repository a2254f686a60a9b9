// node-postgres: pages of audit_log.list and of list_json, then sync_json, with writes between the pages: node read.js SOCKET DATABASE
"use strict";

const assert = require("node:assert/strict");
const { Client } = require("pg");

const COLUMNS = ["occurred_at", "organization_id", "category", "operation", "target_id", "target_name", "before", "after", "metadata",
  "remote_addr", "position"];

// As JavaScript has them; the ids are the test, and what JSON's numbers are to JavaScript is the same on both sides.
async function entries(writer, where, parameters = []) {
  const { rows: differing } = await writer.query("SELECT * FROM application.difference LIMIT 3");
  assert.deepEqual(differing, [], "the log is not what was written");
  const { rows } = await writer.query(`SELECT * FROM audit_log.entry WHERE ${where} ORDER BY occurred_at DESC, id DESC`, parameters);
  return rows;
}

function same(read, written, columns) {
  assert.deepEqual(read.map((row) => row.id), written.map((row) => row.id), "not the same entries in the same order");
  for (const [n, row] of read.entries()) {
    for (const column of columns) assert.deepEqual(row[column], written[n][column], `${column} of ${row.id}`);
  }
}

// next(token) gives [rows, next token].
async function paged(writer, window, next) {
  const wanted = new Set((await entries(writer, "occurred_at >= $1 AND occurred_at < $2", window)).map((row) => row.id));
  const rows = [];
  let token = null;
  let pages = 0;
  do {
    const [page, following] = await next(token);
    assert.ok(page.length > 0 && page.length <= 37);
    rows.push(...page);
    token = following;
    pages += 1;
    await writer.query("SELECT application.write(3)");
    if (pages <= 2) await writer.query("SELECT application.write(2, $1)", [`1 day ${pages} seconds`]);
  } while (token !== null);
  for (const row of await entries(writer, "target_id LIKE 'e%'")) wanted.add(row.id);
  return [rows, (await entries(writer, "true")).filter((row) => wanted.has(row.id))];
}

// An entry of list_json and sync_json, by the columns' names.
function flat(result) {
  return { ...result, organization_id: result.organizationId, target_id: result.target.id, target_name: result.target.name,
    remote_addr: result.remoteAddr };
}

async function main() {
  const [host, database] = process.argv.slice(2);
  const reader = new Client({ host, database, user: "reader" });
  const writer = new Client({ host, database, user: "postgres" });
  await Promise.all([reader.connect(), writer.connect()]);
  const day = 24 * 60 * 60 * 1000;
  const window = [new Date(Date.now() - 2 * day), new Date(Date.now() + day)];

  const [listed, inLog] = await paged(writer, window, async (token) => {
    const { rows } = await reader.query('SELECT * FROM audit_log.list($1, 37, $2, $3)', [token, ...window]);
    return [rows, rows.length > 0 ? rows[0].next_cursor : null];
  });
  same(listed, inLog, COLUMNS);

  const plain = COLUMNS.filter((column) => column !== "occurred_at");
  const json = async (name, request) => {
    const { rows: [{ answer }] } = await reader.query(`SELECT audit_log.${name}($1) AS answer`, [request]);
    assert.equal(answer.success, true, JSON.stringify(answer));
    return answer;
  };
  const [answered, inLogNow] = await paged(writer, window, async (cursor) => {
    const answer = await json("list_json", { limit: 37, startDate: window[0], endDate: window[1], cursor });
    assert.equal(answer.moreDataAvailable, answer.nextCursor !== null);
    return [answer.results.map(flat), answer.nextCursor];
  });
  same(answered, inLogNow, plain);

  // A page before, while and after a transaction is open.
  const late = new Client({ host, database, user: "postgres" });
  await late.connect();
  await late.query("BEGIN");
  await late.query("SELECT application.write(12)");
  const synced = [];
  let answer = await json("sync_json", { backfillStartTime: "1970-01-02", limit: 50 });
  for (let calls = 1; answer.results.length > 0 || calls < 8; calls += 1) {
    synced.push(...answer.results.map(flat));
    if (calls <= 3) await writer.query("SELECT application.write(3)");
    if (!answer.moreDataAvailable && calls >= 5) await late.query("COMMIT");
    answer = await json("sync_json", { cursor: answer.nextCursor, limit: 50 });
  }
  await late.query("COMMIT");
  const all = await entries(writer, "true");
  const byPosition = (one, other) => (one.position < other.position ? -1 : 1);
  same(synced.sort(byPosition), all.sort(byPosition), plain);

  await Promise.all([reader, writer, late].map((client) => client.end()));
  console.log(`   ${listed.length} entries by list, ${answered.length} by list_json, ${synced.length} by sync_json`);
}

main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exit(1);
});
