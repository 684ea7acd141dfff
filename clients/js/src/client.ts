/** The gateway's task API, a method for each of its routes. */
import { ConnectionError, errorFrom, UnexpectedAnswerError } from "./errors.js";
import { type Call, Transport } from "./transport.js";
import type {
  ClientOptions,
  Conversation,
  ConversationalOutput,
  CostOutput,
  CostRequest,
  EmbeddingOutput,
  EmbeddingParameters,
  GenerationParameters,
  ImageGenerationOutput,
  ImageGenerationParameters,
  MappedModel,
  ModelList,
  ModelMapping,
  QuestionAnsweringOutput,
  QuestionAnsweringParameters,
  RequestOptions,
  RunOutput,
  RunRequest,
  SummarizationOutput,
  SummarizationParameters,
  TextClassificationOutput,
  TextClassificationParameters,
  TextGenerationOutput,
  TextGenerationParameters,
  TokenClassificationOutput,
  TokenClassificationParameters,
  TokenEvent,
  TranslationOutput,
  TranslationParameters,
  UsageOutput,
} from "./types.js";

const BASE_URL = "http://localhost:3000";
const TASKS_PATH = "/hf/tasks";

/** The pieces of an answer as they come. To leave the loop over them is to give the request up. */
export type TokenStream = AsyncGenerator<TokenEvent, void, undefined>;
type Streamed = { stream: true };
type Whole = { stream?: false };

/**
 * A client of the gateway at `baseUrl`.
 *
 * @throws TypeError if the key or the URL can be none.
 */
export function createClient(
  apiKey: string,
  baseUrl: string = BASE_URL,
  options: ClientOptions = {},
): DragomanClient {
  return new DragomanClient(apiKey, baseUrl, options);
}

/** Made by `createClient`. Every method throws what `errors.ts` has, or the signal's reason. */
export class DragomanClient {
  readonly #transport: Transport;

  constructor(apiKey: string, baseUrl: string = BASE_URL, options: ClientOptions = {}) {
    this.#transport = new Transport(apiKey, baseUrl, options);
  }

  /** A text that goes on where `inputs` ends. */
  textGeneration(
    inputs: string,
    parameters: TextGenerationParameters & Streamed,
    options?: RequestOptions,
  ): TokenStream;
  textGeneration(
    inputs: string,
    parameters?: TextGenerationParameters & Whole,
    options?: RequestOptions,
  ): Promise<TextGenerationOutput>;
  textGeneration(
    inputs: string,
    parameters: TextGenerationParameters & { stream?: boolean } = {},
    options: RequestOptions = {},
  ): TokenStream | Promise<TextGenerationOutput> {
    return this.#task("text-generation", { inputs }, parameters, options);
  }

  /** The next answer of a conversation: `history` is the `conversation` of the answer before. */
  conversational(
    text: string,
    history: Conversation | undefined,
    parameters: GenerationParameters & Streamed,
    options?: RequestOptions,
  ): TokenStream;
  conversational(
    text: string,
    history?: Conversation,
    parameters?: GenerationParameters & Whole,
    options?: RequestOptions,
  ): Promise<ConversationalOutput>;
  conversational(
    text: string,
    history: Conversation = { past_user_inputs: [], generated_responses: [] },
    parameters: GenerationParameters & { stream?: boolean } = {},
    options: RequestOptions = {},
  ): TokenStream | Promise<ConversationalOutput> {
    const { past_user_inputs, generated_responses } = history;
    const body = { text, past_user_inputs, generated_responses };
    return this.#task("conversational", body, parameters, options);
  }

  /** The gist of a text. */
  summarization(
    inputs: string,
    parameters: SummarizationParameters & Streamed,
    options?: RequestOptions,
  ): TokenStream;
  summarization(
    inputs: string,
    parameters?: SummarizationParameters & Whole,
    options?: RequestOptions,
  ): Promise<SummarizationOutput>;
  summarization(
    inputs: string,
    parameters: SummarizationParameters & { stream?: boolean } = {},
    options: RequestOptions = {},
  ): TokenStream | Promise<SummarizationOutput> {
    return this.#task("summarization", { inputs }, parameters, options);
  }

  /** A text in another language, which is named in English or by its code. */
  translation(
    inputs: string,
    targetLanguage: string | undefined,
    parameters: TranslationParameters & Streamed,
    options?: RequestOptions,
  ): TokenStream;
  translation(
    inputs: string,
    targetLanguage?: string,
    parameters?: TranslationParameters & Whole,
    options?: RequestOptions,
  ): Promise<TranslationOutput>;
  translation(
    inputs: string,
    targetLanguage: string = "English",
    parameters: TranslationParameters & { stream?: boolean } = {},
    options: RequestOptions = {},
  ): TokenStream | Promise<TranslationOutput> {
    const body = { inputs, target_language: targetLanguage };
    return this.#task("translation", body, parameters, options);
  }

  /** The answer that a text has to a question. */
  questionAnswering(
    question: string,
    context: string,
    parameters: QuestionAnsweringParameters = {},
    options: RequestOptions = {},
  ): Promise<QuestionAnsweringOutput> {
    return this.#whole("question-answering", { question, context }, parameters, options);
  }

  /** What kind of text it is. */
  textClassification(
    inputs: string,
    parameters: TextClassificationParameters = {},
    options: RequestOptions = {},
  ): Promise<TextClassificationOutput> {
    return this.#whole("text-classification", { inputs }, parameters, options);
  }

  /** The names in a text, and where they are. */
  tokenClassification(
    inputs: string,
    parameters: TokenClassificationParameters = {},
    options: RequestOptions = {},
  ): Promise<TokenClassificationOutput> {
    return this.#whole("token-classification", { inputs }, parameters, options);
  }

  /** A picture of what a text says. */
  async imageGeneration(
    inputs: string,
    parameters: ImageGenerationParameters = {},
    options: RequestOptions = {},
  ): Promise<ImageGenerationOutput> {
    const answer = await this.#whole<{ image: string; content_type: string }>(
      "image-generation",
      { inputs },
      parameters,
      options,
    );
    return { image: decoded(answer.image), contentType: answer.content_type };
  }

  /** What texts mean, as numbers. */
  embedding(
    inputs: string | string[],
    parameters: EmbeddingParameters = {},
    options: RequestOptions = {},
  ): Promise<EmbeddingOutput> {
    return this.#whole("embedding", { inputs }, parameters, options);
  }

  /** Any task by its name. */
  run(request: RunRequest & Streamed, options?: RequestOptions): TokenStream;
  run<Output = unknown>(
    request: RunRequest & Whole,
    options?: RequestOptions,
  ): Promise<RunOutput<Output>>;
  run(
    request: RunRequest & { stream?: boolean },
    options: RequestOptions = {},
  ): TokenStream | Promise<RunOutput> {
    const { stream = false, ...body } = request;
    const call = post("/run", body, options, true);
    return stream ? this.#stream(call) : this.#transport.json(call);
  }

  /** The models, or those for one task. */
  listModels(taskType?: string, options: RequestOptions = {}): Promise<ModelList> {
    return this.#transport.json({
      method: "GET",
      path: `${TASKS_PATH}/models`,
      query: { task_type: taskType },
      options,
    });
  }

  /** Let a model be served by another. Needs a key that may administer the gateway. */
  mapModel(mapping: ModelMapping, options: RequestOptions = {}): Promise<MappedModel> {
    return this.#transport.json(post("/models/map", mapping, options));
  }

  /** What requests would cost. */
  calculateCost(requests: CostRequest[], options: RequestOptions = {}): Promise<CostOutput> {
    return this.#transport.json(post("/billing/cost", { requests }, options));
  }

  /** What was asked with this key's user, newest first: `limit` records after `offset` others. */
  getUsage(
    limit: number = 100,
    offset: number = 0,
    options: RequestOptions = {},
  ): Promise<UsageOutput> {
    return this.#transport.json({
      method: "GET",
      path: `${TASKS_PATH}/billing/usage`,
      query: { limit, offset },
      options,
    });
  }

  #task<T>(
    task: string,
    body: object,
    parameters: object & { stream?: boolean },
    options: RequestOptions,
  ): TokenStream | Promise<T> {
    const { stream = false, ...rest } = parameters;
    if (!stream) return this.#whole(task, body, rest, options);
    return this.#stream(post(`/${task}`, { ...body, parameters: rest }, options, true));
  }

  #whole<T>(task: string, body: object, parameters: object, options: RequestOptions): Promise<T> {
    return this.#transport.json(post(`/${task}`, { ...body, parameters }, options, true));
  }

  async *#stream(call: Call): TokenStream {
    const head: { headers?: Headers } = {};
    const options: RequestOptions = {
      ...call.options,
      onResponse: (one) => {
        head.headers = one.headers;
        call.options.onResponse?.(one);
      },
    };
    const streamed = { ...call, query: { stream: true }, options };
    let complete = false;
    for await (const message of this.#transport.messages(streamed)) {
      if (message === "[DONE]") return;
      const event = read(message);
      if (event.error) throw errorFrom(200, head.headers ?? new Headers(), message);
      complete ||= (event.generated_text ?? event.output ?? event.conversation) !== undefined;
      yield event;
    }
    // Without its last event, what has come may be half of the answer.
    if (!complete) throw new ConnectionError("The stream ended before the answer did.");
  }
}

function post(path: string, body: unknown, options: RequestOptions, charged = false): Call {
  return { method: "POST", path: TASKS_PATH + path, body, charged, options };
}

function read(message: string): TokenEvent & { error?: unknown } {
  try {
    const event: unknown = JSON.parse(message);
    if (typeof event === "object" && event !== null) return event as TokenEvent;
  } catch (cause) {
    throw new UnexpectedAnswerError("An event of the stream is not JSON.", { cause });
  }
  throw new UnexpectedAnswerError("An event of the stream is not an object.");
}

function decoded(image: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  } catch (cause) {
    throw new UnexpectedAnswerError("The image is not base64.", { cause });
  }
}
