/** HTTP: one request with its attempts, its time limit and its way to be given up. */
import { ConnectionError, errorFrom, RequestTimeoutError, UnexpectedAnswerError } from "./errors.js";
import { parserFor } from "./frames.js";
import { delayBefore, sleep, uuid } from "./retry.js";
import type { ClientOptions, RequestOptions } from "./types.js";

const TIMEOUT = 60_000;
const RETRIES = 2;
/** Of setTimeout, which takes more for none. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What to ask for. */
export interface Call {
  method: "GET" | "POST";
  /** Below the base URL, beginning with a slash. */
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Whether a model is asked: sent twice, it would be charged twice. */
  charged?: boolean;
  options: RequestOptions;
}

/** A time limit that can be started anew, joined with the caller's signal. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #expired = false;

  constructor(
    readonly milliseconds: number,
    outer: AbortSignal | undefined,
  ) {
    this.#outer = outer;
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener("abort", this.#onAbort, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    this.pause();
    this.#timer = setTimeout(
      () => {
        this.#expired = true;
        this.#controller.abort();
      },
      Math.min(this.milliseconds, LONGEST_TIMER),
    );
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Over: what is still under way is given up. */
  end(): void {
    this.pause();
    this.#outer?.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }

  /** What to throw for `cause`, with which fetch or the body's reader has failed. */
  failure(cause: unknown): unknown {
    if (this.#outer?.aborted) return this.#outer.reason;
    if (this.#expired) {
      return new RequestTimeoutError(`Nothing came for ${this.milliseconds} ms.`, { cause });
    }
    const reason = cause instanceof Error ? `: ${cause.message}` : "";
    return new ConnectionError(`The gateway could not be reached${reason}`, { cause });
  }
}

/** Sends calls to one gateway. */
export class Transport {
  readonly #key: string;
  readonly #base: string;
  readonly #options: ClientOptions;

  constructor(apiKey: string, baseUrl: string, options: ClientOptions) {
    // The text of neither error may hold the key.
    if (!/^[!-~]+$/.test(apiKey)) throw new TypeError("apiKey must be visible ASCII characters.");
    const url = new URL(baseUrl);
    if (!/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "") {
      throw new TypeError("baseUrl must be an http or https URL without query and fragment.");
    }
    this.#key = apiKey;
    this.#base = url.href.replace(/\/+$/, "");
    this.#options = options;
  }

  /** The answer's JSON. */
  async json<T>(call: Call): Promise<T> {
    const repeatable = this.#repeatable(call, true);
    const { text, url } = await this.#retrying(call, repeatable, async (deadline) => {
      const response = await this.#send(call, "application/json", repeatable.key, deadline);
      const body = await response.text().catch((cause: unknown) => {
        throw deadline.failure(cause);
      });
      deadline.end();
      return { text: body, url: response.url };
    });
    return parse<T>(text, url);
  }

  /** The messages of a streamed answer. To leave the loop is to give the request up. */
  async *messages(call: Call): AsyncGenerator<string, void, undefined> {
    // With a key of its own, the gateway would finish and charge what the caller has left.
    const repeatable = this.#repeatable(call, false);
    const { response, deadline } = await this.#retrying(call, repeatable, async (opened) => ({
      response: await this.#send(call, "text/event-stream", repeatable.key, opened),
      deadline: opened,
    }));
    try {
      const parser = parserFor(response.headers.get("content-type") ?? "");
      if (parser === null || response.body === null) throw notAStream(response);
      const reader = response.body.getReader();
      for (;;) {
        deadline.restart();
        const { done, value } = await reader.read().catch((cause: unknown) => {
          throw deadline.failure(cause);
        });
        deadline.pause();
        yield* done ? parser.end() : parser.push(value);
        if (done) return;
      }
    } finally {
      deadline.end();
    }
  }

  #repeatable(call: Call, keyed: boolean): { safely: boolean; key: string | undefined } {
    const { idempotencyKey = keyed && this.#retries(call) > 0 } = call.options;
    if (!call.charged) return { safely: true, key: undefined };
    const key = idempotencyKey === true ? uuid() : idempotencyKey || undefined;
    return { safely: key !== undefined, key };
  }

  #retries(call: Call): number {
    return call.options.maxRetries ?? this.#options.maxRetries ?? RETRIES;
  }

  async #retrying<T>(
    call: Call,
    repeatable: { safely: boolean },
    attempt: (deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    const { signal, timeout = this.#options.timeout ?? TIMEOUT } = call.options;
    for (let retries = 0; ; retries++) {
      signal?.throwIfAborted();
      const deadline = new Deadline(timeout, signal);
      try {
        return await attempt(deadline).catch((error: unknown) => {
          deadline.end();
          throw error;
        });
      } catch (error) {
        const more = retries < this.#retries(call);
        const wait = more
          ? delayBefore(error, retries, repeatable.safely, Math.random)
          : undefined;
        if (wait === undefined) throw error;
        await sleep(wait, signal);
      }
    }
  }

  async #send(
    call: Call,
    accept: string,
    key: string | undefined,
    deadline: Deadline,
  ): Promise<Response> {
    const headers = new Headers({ accept, ...this.#options.headers, ...call.options.headers });
    headers.set("authorization", `Bearer ${this.#key}`);
    if (call.body !== undefined) headers.set("content-type", "application/json");
    if (key !== undefined) headers.set("idempotency-key", key);
    // Read now, not kept: a page may put its own in place, and browsers want it called unbound.
    const fetch = this.#options.fetch ?? globalThis.fetch;
    const init: RequestInit = { method: call.method, headers, signal: deadline.signal };
    if (call.body !== undefined) init.body = JSON.stringify(call.body);
    let response: Response;
    let refused: string | undefined;
    try {
      response = await fetch(this.#base + call.path + queryString(call.query), init);
      if (!response.ok) refused = await response.text();
    } catch (cause) {
      throw deadline.failure(cause);
    }
    call.options.onResponse?.({
      status: response.status,
      headers: response.headers,
      requestId: response.headers.get("x-request-id") ?? undefined,
    });
    if (refused !== undefined) throw errorFrom(response.status, response.headers, refused);
    return response;
  }
}

function queryString(query: Call["query"]): string {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length > 0 ? `?${search}` : "";
}

function parse<T>(text: string, url: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new UnexpectedAnswerError(
      `The answer of ${url} is not JSON: is baseUrl that of a gateway?`,
      { cause },
    );
  }
}

function notAStream(response: Response): UnexpectedAnswerError {
  const type = response.headers.get("content-type") ?? "no content type";
  return new UnexpectedAnswerError(`A stream was asked for, but the answer is ${type}.`);
}
