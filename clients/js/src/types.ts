/**
 * What goes in and out. The names are those of the gateway's task API, so that its documentation
 * holds here as well; what a method adds is in camel case.
 */

/** The tasks that the gateway has. */
export const TASKS = [
  "text-generation",
  "conversational",
  "summarization",
  "translation",
  "question-answering",
  "text-classification",
  "token-classification",
  "image-generation",
  "embedding",
] as const;
export type Task = (typeof TASKS)[number];

/** For every request of a client. */
export interface ClientOptions {
  /** Milliseconds without anything from the gateway until a request fails. 60,000 if not given. */
  timeout?: number;
  /** How often a request is sent again that may be. 2 if not given. */
  maxRetries?: number;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** To be used instead of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** For one request. What is not given is as for the client. */
export interface RequestOptions {
  /** Aborting it gives the request up; its reason is thrown. */
  signal?: AbortSignal;
  timeout?: number;
  maxRetries?: number;
  headers?: Record<string, string>;
  /**
   * With an Idempotency-Key the gateway serves and charges a request once, however often it is sent.
   * True makes one, false sends none, a text is one. If not given: a made one, but none for streams.
   */
  idempotencyKey?: string | boolean;
  /** Told of each answer's head, those that are tried again included. */
  onResponse?: (head: ResponseHead) => void;
}

/** The head of an answer. */
export interface ResponseHead {
  status: number;
  headers: Headers;
  /** Under which the gateway logs and bills the request. */
  requestId: string | undefined;
}

/** Parameters that every task has. */
export interface CommonParameters {
  /** One of the gateway's models, or a name that is mapped to one. */
  model?: string;
}

/** Parameters of tasks whose answer is a text that a model writes. */
export interface GenerationParameters extends CommonParameters {
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  seed?: number;
  stop?: string[];
}

export interface TextGenerationParameters extends GenerationParameters {
  /** Hugging Face's name for `max_tokens`. */
  max_new_tokens?: number;
  /** False: always the likeliest token. */
  do_sample?: boolean;
  /** True: the inputs stand before what follows them. */
  return_full_text?: boolean;
}

export interface SummarizationParameters extends GenerationParameters {
  min_length?: number;
  max_length?: number;
}

export interface TranslationParameters extends GenerationParameters {
  source_language?: string;
}

export interface TextGenerationOutput {
  output: { generated_text: string }[];
}

/** One step of a streamed answer. The last one has an empty token and the answer as a whole. */
export interface TokenEvent {
  index: number;
  token: { id: number; text: string; logprob: number | null; special: boolean };
  /** The whole text. */
  generated_text: string | null;
  /** Why the text ended, and how many tokens it has. */
  details: { finish_reason: string; generated_tokens: number; seed: number | null } | null;
  /** What the method would answer without `stream`. */
  output?: unknown;
  conversation?: Conversation;
  /** With `run` only. */
  task?: string;
  model?: string;
}

/** What was said before: as many answers as questions. */
export interface Conversation {
  past_user_inputs: string[];
  generated_responses: string[];
}

export interface ConversationalOutput {
  conversation: Conversation;
  warnings?: string[];
}

export interface SummarizationOutput {
  output: { summary_text: string };
}

export interface TranslationOutput {
  output: { translation_text: string };
}

export interface QuestionAnsweringParameters extends CommonParameters {
  /** False: an empty answer is none. */
  handle_impossible_answer?: boolean;
}

export interface QuestionAnsweringOutput {
  /** `start` and `end` are places in the context, in characters (code points). */
  output: { answer: string; score?: number; start?: number; end?: number };
}

export interface TextClassificationParameters extends CommonParameters {
  /** The labels to choose from. */
  candidate_labels?: string[];
  /** True: each label is judged by itself. */
  multi_label?: boolean;
  /** How many of the best labels are shown. */
  top_k?: number;
}

export interface TextClassificationOutput {
  output: { label: string; score: number }[][];
}

export interface TokenClassificationParameters extends CommonParameters {
  /** The kinds of names to look for. */
  candidate_labels?: string[];
  ignore_labels?: string[];
}

export interface TokenClassificationOutput {
  /** `start` and `end` are places in the text, in characters (code points). */
  output: {
    entity: string;
    score: number;
    index: number;
    word: string;
    start?: number;
    end?: number;
  }[];
}

export interface ImageGenerationParameters extends CommonParameters {
  negative_prompt?: string;
  width?: number;
  height?: number;
  guidance_scale?: number;
  num_inference_steps?: number;
  seed?: number;
}

export interface ImageGenerationOutput {
  image: Uint8Array<ArrayBuffer>;
  /** Such as `image/png`. */
  contentType: string;
}

export interface EmbeddingParameters extends CommonParameters {
  dimensions?: number;
}

export interface EmbeddingOutput {
  /** One for each input. */
  output: { embedding: number[] }[];
}

/** A task by its name. */
export interface RunRequest {
  task: Task;
  model?: string;
  inputs: unknown;
  parameters?: Record<string, unknown>;
  options?: Record<string, unknown>;
}

export interface RunOutput<Output = unknown> {
  output: Output;
  task: string;
  model: string;
}

export interface ModelList {
  models: { model_id: string; hub_model_id: string | null; task_type: string }[];
  count: number;
  task_types: string[];
}

/** That `hub_model_id` be served by `provider_model_id`. */
export interface ModelMapping {
  provider_model_id: string;
  hub_model_id: string;
  task_type: Task;
  /** Taken where a request gives none. */
  parameters?: Record<string, unknown>;
}

export interface MappedModel {
  success: boolean;
  provider_model_id: string;
  hub_model_id: string;
  message: string;
}

/** A request to be: how many tokens a model would read and write. */
export interface CostRequest {
  task: Task;
  model: string;
  input_tokens: number;
  output_tokens: number;
}

export interface CostOutput {
  /** Nano-USD: a billionth of a dollar, a whole number. */
  total_cost_nano_usd: number;
  costs: (CostRequest & { cost_nano_usd: number | null; cost_usd: number | null })[];
  currency: "USD";
  warnings?: string[];
}

/** A request that was served. What nobody knows is null. */
export interface UsageRecord {
  request_id: string;
  timestamp: string;
  task: string;
  model: string;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_nano_usd: number | null;
  user_id: string;
}

export interface UsageOutput {
  /** Newest first. */
  records: UsageRecord[];
  total_records: number;
  total_cost_nano_usd: number;
}
