import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, ConnectionError, createClient, UnexpectedAnswerError } from "dragoman-client";

import { standIn, stream, tokens } from "./standin.mjs";

const KEY = "sk-gw-0123456789";
const TEXTS = ["Once", " upon", " a tïme", " 😀"];

/** @param {import("dragoman-client").TokenStream} streamed */
async function all(streamed) {
  const texts = [];
  for await (const { token } of streamed) texts.push(token.text);
  return texts;
}

test("the text tasks and run are streamed", async (context) => {
  const { url, asked } = await standIn(context, stream(tokens(TEXTS)));
  const client = createClient(KEY, url);
  const streams = [
    client.textGeneration("Once", { model: "m", stream: true }),
    client.conversational("Hello", undefined, { stream: true }),
    client.summarization("Long", { stream: true }),
    client.translation("Gut", undefined, { stream: true }),
    client.run({ task: "text-generation", inputs: "Once", stream: true }),
  ];
  assert.equal(asked.length, 0); // Nothing is asked before somebody listens.
  for (const one of streams) assert.deepEqual(await all(one), TEXTS);
  assert.deepEqual(
    asked.map(({ path }) => path.replace("/hf/tasks/", "")),
    ["text-generation", "conversational", "summarization", "translation", "run"].map(
      (task) => `${task}?stream=true`,
    ),
  );
  assert.deepEqual(asked[0]?.body, { inputs: "Once", parameters: { model: "m" } });
  assert.deepEqual(asked[4]?.body, { task: "text-generation", inputs: "Once" });
  for (const { headers } of asked) assert.equal(headers.accept, "text/event-stream");
});

test("lines of JSON, whose last event has the whole text", async (context) => {
  const { url, asked } = await standIn(context, (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end(tokens(TEXTS).join("\n"));
  });
  const options = { headers: { accept: "application/x-ndjson" } };
  let last;
  for await (const event of createClient(KEY, url).textGeneration("", { stream: true }, options)) {
    last = event;
  }
  assert.equal(last?.generated_text, TEXTS.join(""));
  assert.equal(asked[0]?.headers.accept, "application/x-ndjson");
});

test("a task that is not written piece by piece has its answer in the last event", async (context) => {
  const [event] = tokens([""]);
  const last = { ...JSON.parse(event ?? ""), generated_text: null, output: [[{ label: "a", score: 1 }]] };
  const { url } = await standIn(context, stream([JSON.stringify(last)]));
  const request = /** @type {const} */ ({ task: "text-classification", inputs: "Fine", stream: true });
  const seen = [];
  for await (const { output } of createClient(KEY, url).run(request)) seen.push(output);
  assert.deepEqual(seen, [last.output]);
});

test("to break out of the loop gives the request up", async (context) => {
  const { url, asked } = await standIn(context, stream(tokens([...TEXTS, "never"]).slice(0, -1), false));
  for await (const { token } of createClient(KEY, url).textGeneration("", { stream: true })) {
    assert.equal(token.text, "Once");
    break;
  }
  await asked[0]?.left;
});

test("a signal ends a stream with its reason", async (context) => {
  const { url, asked } = await standIn(context, stream(tokens([...TEXTS, "never"]).slice(0, -1), false));
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const streamed = createClient(KEY, url).textGeneration("", { stream: true }, options);
  await streamed.next();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(all(streamed), reason);
  await asked[0]?.left;
});

test("a stream that falls silent is given up", async (context) => {
  const { url, asked } = await standIn(context, stream(tokens(TEXTS).slice(0, 2), false));
  const streamed = createClient(KEY, url, { timeout: 200 }).textGeneration("", { stream: true });
  await assert.rejects(all(streamed), { name: "RequestTimeoutError" });
  await asked[0]?.left;
});

test("half an answer is none", async (context) => {
  const half = tokens(TEXTS).slice(0, 2);
  const ends = await standIn(context, stream(half));
  const ended = createClient(KEY, ends.url).textGeneration("", { stream: true });
  await assert.rejects(all(ended), { name: "ConnectionError", message: /before the answer did/ });
  const breaks = await standIn(context, (response, asked) => {
    stream(half, false)(response, asked);
    setImmediate(() => response.destroy());
  });
  const broken = createClient(KEY, breaks.url).textGeneration("", { stream: true });
  await assert.rejects(all(broken), ConnectionError);
  assert.equal(breaks.asked.length, 1); // What has begun is not asked again.
});

test("an error in the middle of a stream", async (context) => {
  const error = { error: "upstream is gone", error_type: "BadGateway", message: "request: r-2" };
  const events = [...tokens(TEXTS).slice(0, 1), JSON.stringify(error)];
  const { url } = await standIn(context, stream(events));
  const streamed = createClient(KEY, url).textGeneration("", { stream: true });
  assert.equal((await streamed.next()).value?.token.text, "Once");
  const thrown = await streamed.next().catch((one) => one);
  assert.ok(thrown instanceof ApiError);
  assert.deepEqual(
    [thrown.message, thrown.errorType, thrown.requestId, thrown.status],
    ["upstream is gone", "BadGateway", "r-2", 200],
  );
});

test("events that are no JSON objects", async (context) => {
  for (const event of ["{", "1", "null"]) {
    const { url } = await standIn(context, stream([event]));
    const streamed = createClient(KEY, url).textGeneration("", { stream: true });
    await assert.rejects(all(streamed), UnexpectedAnswerError);
  }
});
