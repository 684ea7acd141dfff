import assert from "node:assert/strict";
import { test } from "node:test";

import { NdjsonParser, parserFor, SseParser } from "../dist/esm/frames.js";

const encode = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** @type {[string, () => import("../dist/esm/frames.js").Parser, string, string[]][]} */
const STREAMS = [
  ["LF", () => new SseParser(), 'data: {"a": 1}\n\ndata: {"b": "ü😀"}\n\ndata: [DONE]\n\n', ['{"a": 1}', '{"b": "ü😀"}', "[DONE]"]],
  ["CR LF", () => new SseParser(), "data: ü\r\n\r\ndata: 😀\r\n\r\n", ["ü", "😀"]],
  ["CR", () => new SseParser(), "data: ü\r\rdata: 😀\r\r", ["ü", "😀"]],
  ["a byte order mark", () => new SseParser(), "\ufeffdata: one\n\n", ["one"]],
  ["other fields", () => new SseParser(), ": hello\nevent: x\nid: 1\nretry: 5\ndata:a\ndata:  b\ndata\n\n\n\n", ["a\n b\n"]],
  ["a line separator of Unicode", () => new SseParser(), "data: a\u2028b\n\n", ["a\u2028b"]],
  ["an event that is cut off", () => new SseParser(), "data: a\n\ndata: b\n", ["a"]],
  ["nothing", () => new SseParser(), "", []],
  ["lines", () => new NdjsonParser(), '{"a": "ü"}\n\r\n{"b": "😀"}\r\n{"c": "\u2029"}', ['{"a": "ü"}', '{"b": "😀"}', '{"c": "\u2029"}']],
  ["lines with an end", () => new NdjsonParser(), "1\n2\n", ["1", "2"]],
];

/**
 * @param {import("../dist/esm/frames.js").Parser} parser
 * @param {Uint8Array[]} pieces
 */
function messages(parser, pieces) {
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
}

for (const [name, make, text, expected] of STREAMS) {
  test(`${name}: the same messages, wherever the bytes are split`, () => {
    const bytes = encode(text);
    assert.deepEqual(messages(make(), [bytes]), expected);
    assert.deepEqual(messages(make(), Array.from(bytes, (byte) => Uint8Array.of(byte))), expected);
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const cut = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
        assert.deepEqual(messages(make(), cut), expected, `split at ${first} and ${second}`);
      }
    }
  });
}

test("an event is there as soon as its blank line has begun to end", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push(encode("data: 1\r\n\r")), ["1"]);
  assert.deepEqual(parser.push(encode("\ndata: 2\n\n")), ["2"]);
});

test("a character that is cut off for good becomes a replacement", () => {
  assert.deepEqual(messages(new NdjsonParser(), [encode("ü").subarray(0, 1)]), ["\ufffd"]);
});

test("the content type decides", () => {
  assert.ok(parserFor("text/event-stream; charset=utf-8") instanceof SseParser);
  assert.ok(parserFor("Application/X-NDJSON") instanceof NdjsonParser);
  assert.equal(parserFor("application/json"), null);
});
