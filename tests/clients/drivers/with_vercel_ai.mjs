// Vercel's AI SDK by way of @ai-sdk/openai-compatible; it runs the tool loop itself.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { drive } from "./driver.mjs";

const Person = z.object({ name: z.string(), age: z.int() });
const weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => "rain",
});

const asking = (turn, includeUsage = false) => ({
  model: createOpenAICompatible({
    name: "autoshift",
    baseURL: turn.base_url,
    supportsStructuredOutputs: true,
    includeUsage,
  })(turn.model),
  prompt: turn.prompt,
  maxRetries: turn.retries,
});
const looping = { tools: { weather }, stopWhen: stepCountIs(3) };
const shaped = { output: Output.object({ schema: Person }) };

async function plain(turn, seen, more = {}) {
  const told = await generateText({ ...asking(turn), ...more });
  await note(told, seen);
  seen.text = told.text;
  if (more.output) seen.value = told.output;
}

async function read(turn, seen, { includeUsage = false, ...more } = {}) {
  let failure;
  seen.text = "";
  seen.pieces = 0;
  const told = streamText({
    ...asking(turn, includeUsage),
    ...more,
    onError: ({ error }) => (failure ??= error),
  });
  for await (const piece of told.textStream) {
    seen.text += piece;
    seen.pieces += piece ? 1 : 0;
  }
  if (failure) throw failure;
  await note(told, seen);
  if (more.output) seen.value = await told.output;
}

async function note(told, seen) {
  const steps = await told.steps;
  const last = steps.at(-1);
  seen.finish = last.finishReason.replace("-", "_");
  seen.usage = [last.usage.inputTokens ?? null, last.usage.outputTokens ?? null];
  const calls = steps.flatMap((step) => step.toolCalls);
  if (calls.length) seen.calls = calls.map((c) => [c.toolCallId, c.toolName, c.input]);
}

await drive({
  plain,
  stream: (turn, seen) => read(turn, seen),
  stream_usage: (turn, seen) => read(turn, seen, { includeUsage: true }),
  tools: (turn, seen) => plain(turn, seen, looping),
  tools_stream: (turn, seen) => read(turn, seen, looping),
  structured: (turn, seen) => plain(turn, seen, shaped),
  structured_stream: (turn, seen) => read(turn, seen, { ...shaped, includeUsage: true }),
});
