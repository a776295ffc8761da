// Asks a service for audio and images as the README of the package does; prints what the test compares.
import fs from "node:fs";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const speech = await client.audio.speech.create({ model: "reader", voice: "alloy", input: "quiet film", response_format: "wav" });
const wav = Buffer.from(await speech.arrayBuffer());
fs.writeFileSync("speech.wav", wav);
const transcription = await client.audio.transcriptions.create({
  model: "speech",
  file: fs.createReadStream("speech.wav"),
});
const images = await client.images.generate({ model: "drawings", prompt: "2", seed: 7 });
let refused = "";
try {
  await client.images.generate({ model: "drawings", prompt: "2", size: "1024x1024" });
} catch (error) {
  refused = error instanceof OpenAI.UnprocessableEntityError ? error.param : String(error);
}
console.log(
  JSON.stringify({ wav: wav.toString("base64"), text: transcription.text, image: images.data[0].b64_json, refused }),
);
