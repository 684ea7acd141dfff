import assert from "node:assert/strict";
import { test } from "node:test";

import { ConnectionError, errorFrom, RequestTimeoutError } from "../dist/esm/errors.js";
import { delayBefore, sleep, uuid } from "../dist/esm/retry.js";

const most = () => 1;

/** @param {number} status @param {Record<string, string>} headers */
function refused(status, headers = {}) {
  return errorFrom(status, new Headers(headers), "{}");
}

test("what is tried again", () => {
  for (const status of [429, 502, 503, 504]) {
    assert.equal(delayBefore(refused(status), 0, false, most), 500, `${status}`);
    const final = refused(status, { "x-should-retry": "false" });
    assert.equal(delayBefore(final, 0, true, most), undefined, `${status}`);
  }
  for (const status of [400, 401, 402, 403, 404, 409, 413, 422, 500, 501]) {
    assert.equal(delayBefore(refused(status), 0, true, most), undefined, `${status}`);
  }
  assert.equal(delayBefore(refused(402, { "retry-after": "1" }), 0, true, most), undefined);
  assert.equal(delayBefore(refused(409, { "retry-after": "1" }), 0, true, () => 0), 1000);
  assert.equal(delayBefore(new ConnectionError("away"), 0, true, most), 500);
  assert.equal(delayBefore(new ConnectionError("away"), 0, false, most), undefined);
  assert.equal(delayBefore(new RequestTimeoutError("late"), 0, true, most), undefined);
  assert.equal(delayBefore(new Error("a defect"), 0, true, most), undefined);
});

test("waits double up to a limit, with full jitter", () => {
  const waits = [0, 1, 2, 3, 4, 5].map((retries) => delayBefore(refused(503), retries, true, most));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 8000]);
  assert.equal(delayBefore(refused(503), 3, true, () => 0), 0);
  assert.equal(delayBefore(refused(503), 3, true, () => 0.25), 1000);
});

test("Retry-After is the least that is waited", () => {
  assert.equal(delayBefore(refused(429, { "retry-after": "3" }), 0, true, most), 3500);
  assert.equal(delayBefore(refused(429, { "retry-after": "0.5" }), 0, true, () => 0), 500);
  assert.equal(delayBefore(refused(429, { "retry-after": "soon" }), 0, true, most), 500);
  assert.equal(delayBefore(refused(429, { "retry-after": "61" }), 0, true, most), undefined);
  const date = new Date(Date.now() + 30_000).toUTCString();
  const wait = delayBefore(refused(503, { "retry-after": date }), 0, true, () => 0) ?? 0;
  assert.ok(wait > 20_000 && wait <= 30_000, `${wait}`);
  const past = "Sat, 01 Jan 2000 00:00:00 GMT";
  assert.equal(delayBefore(refused(503, { "retry-after": past }), 0, true, () => 0), 0);
});

test("a wait ends with the signal", async () => {
  const reason = new Error("enough");
  await assert.rejects(sleep(60_000, AbortSignal.abort(reason)), reason);
  const controller = new AbortController();
  const waiting = sleep(60_000, controller.signal);
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await sleep(0, new AbortController().signal);
});

test("a UUID, also where the page has no TLS", () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  assert.match(uuid(), form);
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    const made = new Set(Array.from({ length: 100 }, uuid));
    assert.equal(made.size, 100);
    for (const one of made) assert.match(one, form);
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
});
