// Asks a service as the documentation of the AI SDK does; prints what the test compares.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";

const [baseURL, apiKey] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "plinth", baseURL, apiKey, includeUsage: true });
const replies = [];
const streams = [];
for (const model of [provider("stories"), provider.completionModel("stories")]) {
  const options = { model, prompt: "Who are you?", maxOutputTokens: 8, maxRetries: 0 };
  replies.push((await generateText(options)).text);
  const stream = streamText(options);
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  streams.push([text, await stream.finishReason, (await stream.usage).outputTokens]);
}
const embedded = await embedMany({ model: provider.embeddingModel("reviews"), values: ["a film", "a song"], maxRetries: 0 });
let refusal;
try {
  await generateText({ model: provider("nothing"), prompt: "a", maxRetries: 0 });
} catch (error) {
  refusal = [error.statusCode, error.message];
}
console.log(JSON.stringify({ replies, streams, vectors: embedded.embeddings, refusal }));
