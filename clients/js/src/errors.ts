/** What the client throws. An abort is not among them: the reason of the caller's own signal is. */

/** Above all others. */
export class DragomanError extends Error {
  override name = "DragomanError";
}

/** No answer: the network, or an answer that broke off. `cause` has the reason. */
export class ConnectionError extends DragomanError {
  override name = "ConnectionError";
}

/** Nothing came for longer than `timeout` milliseconds. */
export class RequestTimeoutError extends ConnectionError {
  override name = "RequestTimeoutError";
}

/** An answer of success that cannot be read, as one of something else than a gateway. */
export class UnexpectedAnswerError extends DragomanError {
  override name = "UnexpectedAnswerError";
}

/** What is known of a refusal. */
export interface Refusal {
  message: string;
  status: number;
  errorType: string;
  details: string;
  requestId: string | undefined;
  retryAfter: number | undefined;
  shouldRetry: boolean;
}

/** The gateway refused or failed; `message` is for people. */
export class ApiError extends DragomanError {
  override name = "ApiError";
  /** Of HTTP. 200 if the error came in the middle of a stream. */
  readonly status: number;
  /** Such as `BadRequest` or `TooManyRequests`; "" if the answer names none. */
  readonly errorType: string;
  /** The field at fault, the gateway's code, the request's id. */
  readonly details: string;
  /** Under which the gateway logs this request. */
  readonly requestId: string | undefined;
  /** Seconds after which it may be tried again, if the gateway says so. */
  readonly retryAfter: number | undefined;
  /** False if the gateway says that the same request will not succeed. */
  readonly shouldRetry: boolean;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.status = refusal.status;
    this.errorType = refusal.errorType;
    this.details = refusal.details;
    this.requestId = refusal.requestId;
    this.retryAfter = refusal.retryAfter;
    this.shouldRetry = refusal.shouldRetry;
  }
}

/** 400, 413, 415, 422: the request is at fault. */
export class BadRequestError extends ApiError {
  override name = "BadRequestError";
}

/** 401: the key is not known. */
export class AuthenticationError extends ApiError {
  override name = "AuthenticationError";
}

/** 402: credit or budget is used up. */
export class PaymentRequiredError extends ApiError {
  override name = "PaymentRequiredError";
}

/** 403: the key may not do this. */
export class PermissionDeniedError extends ApiError {
  override name = "PermissionDeniedError";
}

/** 404: no such model or route. */
export class NotFoundError extends ApiError {
  override name = "NotFoundError";
}

/** 429: too many requests; see `retryAfter`. */
export class RateLimitError extends ApiError {
  override name = "RateLimitError";
}

/** 500 and above: the gateway or its upstreams failed. */
export class ServerError extends ApiError {
  override name = "ServerError";
}

const BY_STATUS: Readonly<Record<number, new (refusal: Refusal) => ApiError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  402: PaymentRequiredError,
  403: PermissionDeniedError,
  404: NotFoundError,
  413: BadRequestError,
  415: BadRequestError,
  422: BadRequestError,
  429: RateLimitError,
};
const MOST_SHOWN = 300;

/** The error of an answer with `status`, whose body may be anything. */
export function errorFrom(status: number, headers: Headers, body: string): ApiError {
  const said = parsed(body);
  const message = text(said["error"]) || text(field(said["error"], "message"));
  const refusal: Refusal = {
    message: message || text(said["detail"]) || shown(status, body),
    status,
    errorType: text(said["error_type"]),
    details: text(said["message"]),
    requestId: headers.get("x-request-id") ?? headers.get("inference-id") ?? undefined,
    retryAfter: seconds(headers.get("retry-after")),
    shouldRetry: headers.get("x-should-retry")?.toLowerCase() !== "false",
  };
  const made = BY_STATUS[status] ?? (status >= 500 ? ServerError : ApiError);
  return new made(refusal);
}

/** `Retry-After` in seconds: a number, or a date of HTTP. Anything else counts as none. */
function seconds(header: string | null): number | undefined {
  const value = header?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  const at = value === "" ? Number.NaN : Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - Date.now()) / 1000);
}

function parsed(body: string): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(body);
    return typeof said === "object" && said !== null ? (said as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function shown(status: number, body: string): string {
  const start = body.trim().slice(0, MOST_SHOWN);
  return start === "" ? `HTTP status ${status}` : `HTTP status ${status}: ${start}`;
}
