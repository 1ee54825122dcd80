// What the official client for Node.js sees of the gateway whose address is the first argument, as one line of JSON.

const OpenAI = require("openai");

const MODEL = "llama-3.1-8b";
const ENDED = ["completed", "failed", "expired", "cancelled"];
const question = { model: MODEL, messages: [{ role: "user", content: "When is slack tide?" }], max_tokens: 5 };

async function main(client) {
  const seen = { models: (await client.models.list()).data.map((one) => one.id) };
  const { data, response } = await client.chat.completions.create({ ...question, service_tier: "flex" }).withResponse();
  seen.tier = data.service_tier;
  seen.basis = response.headers.get("x-slacktide-basis");
  for await (const chunk of await client.chat.completions.create({ ...question, stream: true, stream_options: { include_usage: true } })) {
    if (chunk.usage) seen.streamed_tokens = chunk.usage.completion_tokens;
  }
  seen.dimensions = (await client.embeddings.create({ model: MODEL, input: "tide" })).data[0].embedding.length;
  const line = JSON.stringify({ custom_id: "one", method: "POST", url: "/v1/chat/completions", body: question });
  const file = await client.files.create({ file: await OpenAI.toFile(Buffer.from(line), "lines.jsonl"), purpose: "batch" });
  const asked = { input_file_id: file.id, endpoint: "/v1/chat/completions" };
  let batch = await client.batches.create({ ...asked, completion_window: "5s" });
  while (!ENDED.includes(batch.status)) batch = await client.batches.retrieve(batch.id);
  seen.batch = batch.status;
  seen.output = JSON.parse(await (await client.files.content(batch.output_file_id)).text()).custom_id;
  seen.cancelled = (await client.batches.cancel((await client.batches.create({ ...asked, completion_window: "24h" })).id)).status;
  await client.chat.completions.create({ ...question, model: "nobody" }).catch((error) => (seen.refused = [error.status, error.code]));
  return seen;
}

main(new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 })).then((seen) => console.log(JSON.stringify(seen)));
