/** What the types promise and refuse: read by the compiler only. */
import { createClient, type TextGenerationOutput, type TokenEvent } from "dragoman-client";

const client = createClient("key");

export async function promises(): Promise<void> {
  const whole: TextGenerationOutput = await client.textGeneration("a", { max_tokens: 1 });
  const text: string | undefined = whole.output[0]?.generated_text;
  for await (const event of client.textGeneration("a", { stream: true })) {
    const token: TokenEvent["token"] = event.token;
    void [text, token];
  }
  const { conversation } = await client.conversational("a");
  await client.conversational("b", conversation);
  const labels = await client.run<{ label: string }[][]>({ task: "text-classification", inputs: "a" });
  const label: string | undefined = labels.output[0]?.[0]?.label;
  const { image, contentType } = await client.imageGeneration("a");
  void [label, new Blob([image], { type: contentType })];
}

export async function refuses(): Promise<void> {
  // @ts-expect-error A key is needed.
  createClient();
  // @ts-expect-error No such parameter.
  await client.textGeneration("a", { max_token: 1 });
  // @ts-expect-error No such task.
  await client.run({ task: "levitation", inputs: "a" });
  // @ts-expect-error A stream is no promise of an answer.
  (await client.textGeneration("a", { stream: true })).output;
  // @ts-expect-error This task is not streamed.
  await client.questionAnswering("a", "b", { stream: true });
}
