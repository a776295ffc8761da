// Asks a service as the README of the package does; prints what the test compares.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const embeddings = await client.embeddings.create({ model: "reviews", input: ["a quiet film"] });
const reply = await client.chat.completions.create({
  model: "stories",
  messages: [{ role: "user", content: "世" }],
  max_tokens: 8,
});
const stream = await client.completions.create({ model: "stories", prompt: "a", max_tokens: 8, stream: true });
let text = "";
for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
const response = await client.responses.create({ model: "stories", input: "Who are you?", max_output_tokens: 8 });
let events = "";
for await (const event of await client.responses.create({
  model: "stories",
  input: [{ role: "user", content: "Who are you?" }],
  max_output_tokens: 8,
  stream: true,
})) {
  if (event.type === "response.output_text.delta") events += event.delta;
}
let status = 0;
try {
  await client.embeddings.create({ model: "nothing", input: "a" });
} catch (error) {
  status = error instanceof OpenAI.NotFoundError ? error.status : -1;
}
console.log(
  JSON.stringify({
    models: models.sort(),
    embedding: embeddings.data[0].embedding,
    reply: reply.choices[0].message.content,
    text,
    response: response.output_text,
    events,
    status,
  }),
);
