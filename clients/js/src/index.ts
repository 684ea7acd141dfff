export { createClient, DragomanClient, type TokenStream } from "./client.js";
export {
  ApiError,
  AuthenticationError,
  BadRequestError,
  ConnectionError,
  DragomanError,
  NotFoundError,
  PaymentRequiredError,
  PermissionDeniedError,
  RateLimitError,
  RequestTimeoutError,
  ServerError,
  UnexpectedAnswerError,
} from "./errors.js";
export * from "./types.js";
