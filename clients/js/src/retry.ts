/** Whether and when a request is sent again. */
import { ApiError, ConnectionError, RequestTimeoutError } from "./errors.js";

const RETRIED = new Set([429, 502, 503, 504]);
/** Milliseconds: the first wait is at most this, each further one at most twice the one before. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;
/** Milliseconds that are waited because the gateway asks for it; for longer, the caller decides. */
const LONGEST_ASKED = 60_000;

/**
 * Milliseconds to wait before the request is sent again; undefined if it is not.
 *
 * @param error What the last attempt failed with.
 * @param retries How many retries there were before.
 * @param repeatable Whether the request may be sent twice although the first may have been served.
 * @param random A number from 0 to 1, of a new one each time.
 */
export function delayBefore(
  error: unknown,
  retries: number,
  repeatable: boolean,
  random: () => number,
): number | undefined {
  const jitter = random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** retries);
  if (error instanceof RequestTimeoutError) return undefined; // It has waited long enough.
  if (error instanceof ConnectionError) return repeatable ? jitter : undefined;
  if (!(error instanceof ApiError) || !error.shouldRetry) return undefined;
  const asked = error.retryAfter;
  // 409 with a time: the first attempt with the same Idempotency-Key is still being answered.
  if (!RETRIED.has(error.status) && !(error.status === 409 && asked !== undefined)) return undefined;
  if (asked === undefined) return jitter;
  // The jitter on top keeps all who were told the same time from coming back at once.
  return asked * 1000 > LONGEST_ASKED ? undefined : asked * 1000 + jitter;
}

/** Wait `milliseconds`; throws the signal's reason as soon as it is aborted. */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, milliseconds);
    function aborted(): void {
      clearTimeout(timer);
      reject(signal?.reason);
    }
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** A random UUID; also on pages without TLS, where `crypto.randomUUID` is missing. */
export function uuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
