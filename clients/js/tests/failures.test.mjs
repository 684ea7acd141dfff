import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import {
  ApiError,
  AuthenticationError,
  BadRequestError,
  ConnectionError,
  createClient,
  DragomanError,
  NotFoundError,
  PaymentRequiredError,
  PermissionDeniedError,
  RateLimitError,
  RequestTimeoutError,
  ServerError,
} from "dragoman-client";

import { json, refusal, standIn, stream, tokens } from "./standin.mjs";

const KEY = "sk-gw-0123456789";
const DONE = json({ output: [{ generated_text: "Once upon" }] });
const NOW = { "retry-after": "0" };
/** @type {import("./standin.mjs").Answer} */
const breakOff = (response) => response.destroy();
/** @type {import("./standin.mjs").Answer} */
const breakOffWithin = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
  response.write('{"output"', () => response.destroy());
};
/** @type {import("./standin.mjs").Answer} */
const saysNothing = () => {};

// Retries need not wait here.
beforeEach((context) => {
  /** @type {import("node:test").TestContext} */ (context).mock.method(Math, "random", () => 0);
});

test("an error says what the gateway says", async (context) => {
  const { url } = await standIn(context, refusal(400, "BadRequest"));
  const error = await createClient(KEY, url).textGeneration("").catch((thrown) => thrown);
  assert.ok(error instanceof BadRequestError && error instanceof ApiError);
  assert.ok(error instanceof DragomanError && error instanceof Error);
  const { name, message, status, errorType, details, requestId, retryAfter, shouldRetry } = error;
  assert.deepEqual(
    { name, message, status, errorType, details, requestId, retryAfter, shouldRetry },
    {
      name: "BadRequestError",
      message: "said BadRequest",
      status: 400,
      errorType: "BadRequest",
      details: "field: inputs",
      requestId: "r-1",
      retryAfter: undefined,
      shouldRetry: true,
    },
  );
});

test("each status has its class", async (context) => {
  /** @type {[number, typeof ApiError][]} */
  const classes = [
    [401, AuthenticationError],
    [402, PaymentRequiredError],
    [403, PermissionDeniedError],
    [404, NotFoundError],
    [409, ApiError],
    [413, BadRequestError],
    [422, BadRequestError],
    [429, RateLimitError],
    [500, ServerError],
    [503, ServerError],
  ];
  for (const [status, expected] of classes) {
    const { url } = await standIn(context, refusal(status, "Any", { "retry-after": "7" }));
    const error = await createClient(KEY, url, { maxRetries: 0 }).getUsage().catch((thrown) => thrown);
    assert.equal(error.constructor, expected, `${status}`);
    assert.equal(error.retryAfter, 7);
  }
});

test("errors in other shapes are still told", async (context) => {
  /** @type {[string, string][]} */
  const bodies = [
    ['{"error": {"message": "as OpenAI says it"}}', "as OpenAI says it"],
    ['{"detail": "as others do"}', "as others do"],
    ["<h1>Bad Gateway</h1>", "HTTP status 500: <h1>Bad Gateway</h1>"],
    ["null", "HTTP status 500: null"],
    ["", "HTTP status 500"],
    ["x".repeat(9999), `HTTP status 500: ${"x".repeat(300)}`],
  ];
  for (const [body, message] of bodies) {
    const { url } = await standIn(context, (response) => response.writeHead(500).end(body));
    await assert.rejects(createClient(KEY, url).getUsage(), { name: "ServerError", message });
  }
});

test("a request is sent again with the same Idempotency-Key", async (context) => {
  for (const failure of [refusal(503, "ServiceUnavailable", NOW), breakOff, breakOffWithin]) {
    const { url, asked } = await standIn(context, failure, failure, DONE);
    const answer = await createClient(KEY, url).textGeneration("Once");
    assert.deepEqual(answer, { output: [{ generated_text: "Once upon" }] });
    const keys = asked.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(keys.length, 3);
    assert.match(keys[0]?.toString() ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(new Set(keys).size, 1);
    assert.deepEqual(asked[0]?.body, asked[2]?.body);
  }
});

test("each request has an Idempotency-Key of its own, or the caller's, or none", async (context) => {
  const { url, asked } = await standIn(context, DONE);
  const client = createClient(KEY, url);
  await client.textGeneration("Once");
  await client.textGeneration("Once");
  await client.textGeneration("Once", {}, { idempotencyKey: "mine" });
  await client.textGeneration("Once", {}, { idempotencyKey: false });
  await client.textGeneration("Once", {}, { maxRetries: 0 });
  await client.getUsage();
  await client.calculateCost([]);
  const [first, second, ...others] = asked.map(({ headers }) => headers["idempotency-key"]);
  assert.ok(first && second && first !== second);
  assert.deepEqual(others, ["mine", undefined, undefined, undefined, undefined]);
});

test("without a key, what may have been served is not sent again", async (context) => {
  const { url, asked } = await standIn(context, breakOff, DONE);
  const asking = createClient(KEY, url).textGeneration("Once", {}, { idempotencyKey: false });
  await assert.rejects(asking, ConnectionError);
  assert.equal(asked.length, 1);
});

test("what charges nothing is sent again after a break", async (context) => {
  const { url, asked } = await standIn(context, breakOff, json({ records: [] }));
  await createClient(KEY, url).getUsage();
  assert.equal(asked.length, 2);
});

test("retries end", async (context) => {
  const { url, asked } = await standIn(context, refusal(429, "TooManyRequests", NOW));
  await assert.rejects(createClient(KEY, url).getUsage(), RateLimitError);
  assert.equal(asked.length, 3);
  await assert.rejects(createClient(KEY, url, { maxRetries: 1 }).getUsage(), RateLimitError);
  assert.equal(asked.length, 5);
  await assert.rejects(createClient(KEY, url).getUsage(1, 0, { maxRetries: 0 }), RateLimitError);
  assert.equal(asked.length, 6);
});

test("never sent again: without credit, or where the gateway says so", async (context) => {
  for (const failure of [
    refusal(402, "PaymentRequired", NOW),
    refusal(429, "TooManyRequests", { ...NOW, "x-should-retry": "false" }),
    refusal(503, "ServiceUnavailable", { "retry-after": "3600" }),
    refusal(500, "InternalServerError"),
  ]) {
    const { url, asked } = await standIn(context, failure, DONE);
    await assert.rejects(createClient(KEY, url).textGeneration("Once"), ApiError);
    assert.equal(asked.length, 1);
  }
});

test("nobody answers", async (context) => {
  const { url } = await standIn(context, DONE);
  const [port] = url.split(":").slice(-1);
  const nobody = createClient(KEY, url.replace(`:${port}`, ":1"), { maxRetries: 0 });
  await assert.rejects(nobody.getUsage(), (/** @type {any} */ error) => {
    assert.ok(error instanceof ConnectionError && error.cause instanceof Error);
    return true;
  });
});

test("a request that takes too long is given up", async (context) => {
  const { url, asked } = await standIn(context, saysNothing);
  const client = createClient(KEY, url, { timeout: 100 });
  await assert.rejects(client.textGeneration("Once"), RequestTimeoutError);
  await assert.rejects(client.textGeneration("Once", { stream: true }).next(), RequestTimeoutError);
  assert.ok(asked.length <= 2); // A busy machine may not even have seen them.
  await Promise.all(asked.map(({ left }) => left));
});

test("a timeout of forever is not one of now", async (context) => {
  const { url } = await standIn(context, DONE);
  await createClient(KEY, url, { timeout: Infinity }).textGeneration("Once");
  await createClient(KEY, url, { timeout: 2 ** 40 }).textGeneration("Once");
});

test("a signal gives up a request, a wait and what has not begun", async (context) => {
  const reason = new Error("changed my mind");
  const begun = deferred();
  const { url, asked } = await standIn(context, () => begun.resolve(undefined));
  const client = createClient(KEY, url);
  const controller = new AbortController();
  const asking = client.textGeneration("Once", {}, { signal: controller.signal });
  await begun.promise;
  controller.abort(reason);
  await assert.rejects(asking, reason);
  await asked[0]?.left;
  await assert.rejects(client.getUsage(1, 0, { signal: controller.signal }), reason);
  await assert.rejects(client.getUsage(1, 0, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(asked.length, 1);

  const later = new AbortController();
  const busy = await standIn(context, refusal(503, "ServiceUnavailable", { "retry-after": "50" }));
  const waiting = createClient(KEY, busy.url).getUsage(1, 0, {
    signal: later.signal,
    onResponse: () => setImmediate(() => later.abort(reason)),
  });
  await assert.rejects(waiting, reason);
});

test("a stream that cannot begin is tried again, and has no key", async (context) => {
  const busy = refusal(503, "ServiceUnavailable", NOW);
  const { url, asked } = await standIn(context, busy, stream(tokens(["Once", " upon"])));
  const texts = [];
  for await (const { token } of createClient(KEY, url).textGeneration("", { stream: true })) {
    texts.push(token.text);
  }
  assert.deepEqual(texts, ["Once", " upon"]);
  assert.equal(asked.length, 2);
  assert.equal(asked[1]?.headers["idempotency-key"], undefined);
});

function deferred() {
  /** @type {(value: unknown) => void} */
  let resolve = () => {};
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
