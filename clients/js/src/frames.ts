/** From the bytes of a stream to its messages, however the network has cut them. */

const LF = 10;
const CR = 13;

/** Takes bytes, gives the messages that are complete. */
export interface Parser {
  push(bytes: Uint8Array): string[];
  /** The messages that only the end of the stream completes. */
  end(): string[];
}

/** Lines that end in LF, CR or CR LF. */
export class Lines {
  readonly #decoder = new TextDecoder();
  #parts: string[] = [];
  #afterCr = false;

  push(bytes: Uint8Array): string[] {
    return this.#split(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Whole lines that a cut character completes, and what follows the last line's end. */
  end(): { lines: string[]; rest: string } {
    const lines = this.#split(this.#decoder.decode());
    const rest = this.#parts.join("");
    this.#parts = [];
    return { lines, rest };
  }

  #split(text: string): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === LF && this.#afterCr) {
        start = at + 1; // The line has ended with the CR before it.
      } else if (code === LF || code === CR) {
        this.#parts.push(text.slice(start, at));
        lines.push(this.#parts.join(""));
        this.#parts = [];
        start = at + 1;
      }
      this.#afterCr = code === CR;
    }
    if (start < text.length) this.#parts.push(text.slice(start));
    return lines;
  }
}

/** Server-sent events: the `data` of each. An event that its blank line does not end is none. */
export class SseParser implements Parser {
  readonly #lines = new Lines();
  #data: string[] = [];

  push(bytes: Uint8Array): string[] {
    return this.#events(this.#lines.push(bytes));
  }

  end(): string[] {
    return this.#events(this.#lines.end().lines);
  }

  #events(lines: string[]): string[] {
    const events: string[] = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length > 0) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line === "data" || line.startsWith("data:")) {
        const value = line.slice("data:".length);
        this.#data.push(value.startsWith(" ") ? value.slice(1) : value);
      }
    }
    return events;
  }
}

/** A JSON value per line; the last one needs no end. */
export class NdjsonParser implements Parser {
  readonly #lines = new Lines();

  push(bytes: Uint8Array): string[] {
    return filled(this.#lines.push(bytes));
  }

  end(): string[] {
    const { lines, rest } = this.#lines.end();
    return filled([...lines, rest]);
  }
}

/** The parser for an answer's content type; null if it is no stream. */
export function parserFor(contentType: string): Parser | null {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase();
  if (type === "text/event-stream") return new SseParser();
  if (type === "application/x-ndjson" || type === "application/jsonl") return new NdjsonParser();
  return null;
}

function filled(lines: string[]): string[] {
  return lines.filter((line) => line.trim() !== "");
}
