// The official Node client against the gateway at BASE_URL. Prints what each case came to, as JSON by case.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "unused", maxRetries: 0 });
const messages = (text) => [{ role: "user", content: text }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const create = (text, more = {}) =>
  client.chat.completions.create({ model: "scripted", messages: messages(text), ...more });

async function collected(stream) {
  const said = [];
  for await (const chunk of stream) {
    for (const { index, delta } of chunk.choices) said[index] = (said[index] ?? "") + (delta.content ?? "");
  }
  return said;
}

async function refusal(promise) {
  try {
    await promise;
    return "not refused";
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code };
  }
}

const cases = {
  whole: async () => (await create("When is the tide?")).choices[0].message.content,
  streamed: async () => collected(await create("go on", { stream: true })),
  usage: async () => {
    let usage = null;
    for await (const chunk of await create("go on", { stream: true, stream_options: { include_usage: true } })) {
      usage = chunk.usage ?? usage;
    }
    return usage.completion_tokens;
  },
  choices: async () => collected(await create("twice", { stream: true, n: 2 })),
  tool: async () => {
    const stream = client.chat.completions.stream({ model: "scripted", messages: messages("Weather?"), tools });
    const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
    return { finish_reason, arguments: message.tool_calls[0].function.arguments };
  },
  format: async () => {
    const schema = { type: "object", properties: { city: { type: "string" } } };
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema } };
    return JSON.parse((await create("JSON, please", { response_format })).choices[0].message.content);
  },
  logprobs: async () => (await create("how sure?", { logprobs: true })).choices[0].logprobs.content.map((t) => t.token),
  models: async () => (await client.models.list()).data.map((model) => model.id),
  refused: () => refusal(create(`Sell me two ${process.env.FORBIDDEN}s.`)),
  cut: async () => {
    const said = [];
    const read = async () => {
      const stream = await create(`say ${process.env.CUT}${process.env.FORBIDDEN} with you.`, { stream: true });
      for await (const chunk of stream) said.push(chunk.choices[0].delta.content ?? "");
    };
    return { ...(await refusal(read())), said: said.join("") };
  },
  missing: () => refusal(create("hi", { model: "scriptod" })),
  busy: () => refusal(create("hi", { model: "busy" })),
  continued: async () => {
    const asked = { model: "scripted", prompt: "Once upon" };
    const said = [];
    for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
      said.push(chunk.choices[0].text);
    }
    return [(await client.completions.create(asked)).choices[0].text, said.join("")];
  },
  embedded_texts: async () => {
    const found = await client.embeddings.create({ model: "scripted", input: ["four", "tide"] });
    return found.data.map((one) => one.embedding);
  },
  moderated: async () => {
    const found = await client.moderations.create({ model: "scripted", input: `two ${process.env.FORBIDDEN}s` });
    return found.results.map(({ flagged, categories }) => ({ flagged, categories }));
  },
  left: async () => {
    for await (const _ of await create("go on", { stream: true })) break;
    return (await create("and now?")).choices[0].finish_reason;
  },
  embedded: async () => {
    const asked = { model: "embedded", temperature: 0, max_tokens: 12 };
    const whole = (await create("Name a colour.", asked)).choices[0].message.content;
    return [whole, ...(await collected(await create("Name a colour.", { ...asked, stream: true })))];
  },
};

const found = {};
for (const [name, run] of Object.entries(cases)) found[name] = await run();
console.log(JSON.stringify(found));
