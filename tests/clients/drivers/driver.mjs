// What every driver for Node shares: a turn a line comes in, what the client saw goes out.

import { createInterface } from "node:readline";

export const WEATHER_PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

export async function drive(actions) {
  for await (const line of createInterface({ input: process.stdin })) {
    const turn = JSON.parse(line);
    const seen = {};
    try {
      await actions[turn.action](turn, seen);
    } catch (error) {
      seen.raised = told(error);
    }
    process.stdout.write(JSON.stringify(seen) + "\n");
  }
}

// The error as user code can know it: what it is, and what the innermost HTTP error says.
function told(error) {
  const seen = { is: classes(error), message: String(error?.message).slice(0, 300) };
  for (let at = error; at; at = at.lastError ?? at.cause) {
    const status = at.status ?? at.statusCode;
    if (status !== undefined) {
      const headers = at.headers ?? at.responseHeaders ?? {};
      seen.status = status;
      seen.code = at.code ?? at.data?.error?.code ?? null;
      seen.retry_after = (headers.get ? headers.get("retry-after") : headers["retry-after"]) ?? null;
    }
  }
  return seen;
}

function classes(error) {
  const names = [];
  for (let at = Object.getPrototypeOf(error); at; at = Object.getPrototypeOf(at)) {
    names.push(at.constructor.name);
  }
  return names;
}
