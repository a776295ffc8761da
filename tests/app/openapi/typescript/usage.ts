// What a program would write against the generated types; `tsc --strict` has to accept it.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Job = components["schemas"]["Job"];
type JobState = components["schemas"]["JobState"];
type ProblemCode = components["schemas"]["ProblemCode"];

const FINAL: readonly JobState[] = ["succeeded", "failed", "cancelled"];
const RETRIED: ReadonlySet<ProblemCode> = new Set<ProblemCode>(["queue_full", "database_unavailable", "stopped"]);

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });

export async function train(dataset: string): Promise<Job> {
  const { data, error } = await client.POST("/api/v1/jobs", {
    body: { kind: "finetune", dataset, task: "image_classification", architecture: "cnn", model: "digits" },
  });
  if (error) throw new Error(error.detail);
  if (!("state" in data)) throw new Error("validate_only was not sent");
  return data;
}

export async function isFinal(id: string): Promise<boolean> {
  const { data, error } = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } } });
  if (error) return !RETRIED.has(error.code);
  return FINAL.includes(data.state);
}

export async function label(image: string): Promise<unknown> {
  const { data } = await client.POST("/predict/{model}", {
    params: { path: { model: "digits" } },
    body: { inputs: [{ image }] },
  });
  return typeof data === "object" ? data.outputs[0]?.["label"] : undefined;
}
