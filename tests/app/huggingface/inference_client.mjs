// Asks models by the JavaScript client of Hugging Face; prints the answers as JSON.
import { readFile } from "node:fs/promises";
import { InferenceClient } from "@huggingface/inference";

const [address, key, imageFile, clipFile] = process.argv.slice(2);
const image = new Blob([await readFile(imageFile)], { type: "image/png" });
const clip = new Blob([await readFile(clipFile)], { type: "audio/wav" });
const client = new InferenceClient(key);
const model = (name) => client.endpoint(`${address}/hf/${name}`);
const bytes = async (blob) => Buffer.from(await blob.arrayBuffer()).toString("base64");

const text = "a quiet film";
const answers = {
  text: await model("text_classification").textClassification({ inputs: text }),
  image: await model("image_classification").imageClassification({ data: image }),
  clip: await model("audio_classification").audioClassification({ data: clip }),
  objects: await model("object_detection").objectDetection({ data: image }),
  speech: await model("speech_recognition").automaticSpeechRecognition({ data: clip }),
  sound: await bytes(await model("speech_synthesis").textToSpeech({ inputs: "old" })),
  translation: await model("translation").translation({ inputs: text }),
  summary: await model("translation").summarization({ inputs: text }),
  embedding: await model("embedder").featureExtraction({ inputs: [text] }),
  similarity: await model("text_classification/pipeline/sentence-similarity").sentenceSimilarity({
    inputs: { source_sentence: text, sentences: [text, "the sea"] },
  }),
  generated: await model("stories").textGeneration({ inputs: "世", parameters: { max_new_tokens: 12, temperature: 0 } }),
  number: await model("tabular_regression").tabularRegression({ inputs: { data: { length: ["5.1"] } } }),
  labels: await model("image_text_matching").zeroShotImageClassification({
    inputs: { image },
    parameters: { candidate_labels: ["dark", "light"] },
  }),
};
let streamed = "";
for await (const piece of model("stories").textGenerationStream({ inputs: "世", parameters: { max_new_tokens: 12, temperature: 0 } })) {
  streamed += piece.choices[0]?.text ?? "";
}
const chat = await model("stories").chatCompletion({ messages: [{ role: "user", content: "世" }], max_tokens: 12, temperature: 0 });
let refusal;
try {
  await model("text_classification").textClassification({ inputs: " " });
} catch (error) {
  refusal = JSON.stringify({ message: error.message, body: error.httpResponse?.body });
}
console.log(JSON.stringify({ ...answers, streamed, chat: chat.choices[0].message.content, refusal }));
