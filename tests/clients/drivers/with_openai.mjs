// The official client for Node.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { WEATHER_PARAMETERS, drive } from "./driver.mjs";

const Person = z.object({ name: z.string(), age: z.int() });
const weather = {
  type: "function",
  function: { name: "weather", parameters: WEATHER_PARAMETERS, strict: true },
};

const completions = (turn) =>
  new OpenAI({ baseURL: turn.base_url, apiKey: "none", maxRetries: turn.retries }).chat.completions;
const question = (turn) => [{ role: "user", content: turn.prompt }];
const asking = (turn) => ({ model: turn.model, messages: question(turn) });
const shaped = (turn) => ({
  ...asking(turn),
  response_format: zodResponseFormat(Person, "person"),
});

async function tools(turn, seen) {
  const messages = question(turn);
  const body = { model: turn.model, messages, tools: [weather] };
  const asked = await completions(turn).create(body);
  note(asked, seen);
  messages.push(asked.choices[0].message, ...results(seen));
  note(await completions(turn).create(body), seen);
}

async function toolsStream(turn, seen) {
  const messages = question(turn);
  const body = { model: turn.model, messages, tools: [weather] };
  const asked = await completions(turn).stream(body).finalChatCompletion();
  note(asked, seen);
  messages.push(asked.choices[0].message, ...results(seen));
  await read(await completions(turn).create({ ...body, stream: true }), seen);
}

async function structured(turn, seen) {
  const parsed = await completions(turn).parse(shaped(turn));
  note(parsed, seen);
  seen.value = parsed.choices[0].message.parsed;
}

async function structuredStream(turn, seen) {
  const body = { ...shaped(turn), stream_options: { include_usage: true } };
  const parsed = await completions(turn).stream(body).finalChatCompletion();
  note(parsed, seen);
  seen.value = parsed.choices[0].message.parsed;
}

function note(completion, seen) {
  const [choice] = completion.choices;
  seen.text = choice.message.content;
  seen.finish = choice.finish_reason;
  if (completion.usage) noteUsage(completion.usage, seen);
  for (const call of choice.message.tool_calls ?? []) {
    (seen.calls ??= []).push([call.id, call.function.name, JSON.parse(call.function.arguments)]);
  }
}

// Join what a raw stream brings, as user code does.
async function read(chunks, seen) {
  seen.text = "";
  seen.pieces = 0;
  for await (const chunk of chunks) {
    if (chunk.usage) noteUsage(chunk.usage, seen);
    for (const choice of chunk.choices) {
      seen.text += choice.delta.content ?? "";
      seen.pieces += choice.delta.content ? 1 : 0;
      seen.finish = choice.finish_reason ?? seen.finish;
    }
  }
}

function noteUsage(usage, seen) {
  seen.usage = [usage.prompt_tokens, usage.completion_tokens];
}

const results = (seen) =>
  seen.calls.map(([id]) => ({ role: "tool", tool_call_id: id, content: "rain" }));

await drive({
  plain: async (turn, seen) => note(await completions(turn).create(asking(turn)), seen),
  stream: async (turn, seen) =>
    read(await completions(turn).create({ ...asking(turn), stream: true }), seen),
  stream_usage: async (turn, seen) => {
    const stream_options = { include_usage: true };
    const body = { ...asking(turn), stream: true, stream_options };
    await read(await completions(turn).create(body), seen);
  },
  tools,
  tools_stream: toolsStream,
  structured,
  structured_stream: structuredStream,
});
