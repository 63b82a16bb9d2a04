/**
 * Client of a precipitation nowcast service. Types and paths are those of its OpenAPI document; `api` reaches every
 * operation, and the methods the usual ones.
 */
import createClient, { type Client } from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

export type { components, operations, paths };
type Schemas = components["schemas"];
export type Point = Schemas["PointOut"];
export type Minutes = Schemas["MinutesOut"];
export type Forecast = Schemas["ForecastOut"];
export type Area = Schemas["AreaOut"];
export type Scores = Schemas["RollingOut"];
export type Rule = Schemas["RuleIn"];
export type StoredRule = Schemas["RuleOut"];
export type RuleVerification = Schemas["RuleVerificationOut"];
export type Problem = Schemas["Problem"];
/** Body of `makeNowcast` as JSON. */
export type NowcastRequest = Body<"application/json">;
/** Fields of `makeNowcast` as a form, for uploads. */
export type NowcastForm = Body<"multipart/form-data">;
type Body<Media extends keyof Bodies> = Bodies[Media];
type Bodies = NonNullable<operations["makeNowcast"]["requestBody"]>["content"];

/** Query of an operation, by its id: `Query<"getPoint">`. */
export type Query<Id extends keyof operations> = NonNullable<operations[Id]["parameters"]["query"]>;

export interface Place {
  lat: number;
  lon: number;
}

export interface Options {
  /** Address of the service. */
  url?: string;
  /** API key; not needed on the machine of the service. */
  apiKey?: string;
  /** Another `fetch`, for instance of a test. */
  fetch?: (request: Request) => Promise<Response>;
}

export interface Upload {
  /** Radar files of any supported format, or one NetCDF with five or more times. */
  frames: File[];
  /** Frames after the reference time, to verify the forecast with. */
  observations?: File[];
  model?: string;
  members?: boolean;
}

/** An error response of the service; its message is that of the problem document. */
export class NowcastError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    super(`${status} ${problem.title ?? ""}: ${problem.detail ?? "no details"}`);
    this.name = "NowcastError";
  }
}

/** Places are separated by commas. */
const querySerializer = { array: { style: "form", explode: false } } as const;

type Answer<Data> = Promise<{ data?: Data; error?: unknown; response: Response }>;

export class Nowcast {
  /** Every operation: `api.GET("/nowcast/{forecast_id}/motion", {...})`. */
  readonly api: Client<paths>;

  constructor({ url = "http://127.0.0.1:8000", apiKey, fetch }: Options = {}) {
    const headers = apiKey ? { "X-API-Key": apiKey } : {};
    this.api = createClient<paths>({ baseUrl: url, headers, ...(fetch ? { fetch } : {}) });
  }

  /** The newest forecast, or one by its id. */
  forecast(id = "latest"): Promise<Forecast> {
    return document(this.api.GET("/nowcast/{forecast_id}", { params: { path: { forecast_id: id } } }));
  }

  /** Places in their order: rates, quantiles, probabilities, start and end of rain. */
  async points(places: Place[], { id = "latest", tz = "UTC" } = {}): Promise<Point[]> {
    const query = { ...joined(places), tz };
    const params = { path: { forecast_id: id }, query };
    return list(await document<Point | Point[]>(this.api.GET("/nowcast/{forecast_id}/point", { params, querySerializer })));
  }

  /** The minute forecast of places in their order, each with a sentence. */
  async minutes(places: Place[], { id = "latest", tz = "UTC", lang = "en" as "en" | "de" } = {}): Promise<Minutes[]> {
    const query = { ...joined(places), tz, lang };
    const params = { path: { forecast_id: id }, query };
    return list(
      await document<Minutes | Minutes[]>(this.api.GET("/nowcast/{forecast_id}/minutes", { params, querySerializer })),
    );
  }

  /** Means, sums and probabilities over a GeoJSON polygon. */
  area(polygon: Schemas["GeoJson"], id = "latest"): Promise<Area> {
    const path = { forecast_id: id };
    return found(this.api.POST("/nowcast/{forecast_id}/area", { params: { path }, body: polygon }));
  }

  /** How good recent forecasts were, next to persistence and extrapolation: the lists of all pages. */
  async verification(query: Query<"getVerification"> = {}): Promise<Scores> {
    const scores: Scores = await document(this.api.GET("/verification", { params: { query } }));
    for (let cursor = cursorOf(scores.next); cursor !== null; ) {
      const params = { query: { ...query, cursor } };
      const page: Scores = await document(this.api.GET("/verification", { params }));
      for (const [name, rows] of Object.entries(scores))
        if (Array.isArray(rows)) rows.push(...(page[name as keyof Scores] as never[]));
      cursor = cursorOf(page.next);
    }
    return { ...scores, next: null };
  }

  /** A forecast from the scans of the service. */
  nowcast(body: NowcastRequest = {}): Promise<Forecast> {
    return document(this.api.POST("/nowcast", { body }));
  }

  /** A forecast from radar files. */
  upload({ frames, observations = [], model, members }: Upload): Promise<Forecast> {
    const form = new FormData();
    for (const file of frames) form.append("frames", file);
    for (const file of observations) form.append("observations", file);
    if (model !== undefined) form.append("model", model);
    if (members !== undefined) form.append("members", String(members));
    const body: NowcastForm = { frames: [], model: model ?? "default", members: members ?? false };
    return document(this.api.POST("/nowcast", { body, bodySerializer: () => form }));
  }

  createRule(body: Rule): Promise<StoredRule> {
    return found(this.api.POST("/rules", { body }));
  }

  /** All rules, the newest first. */
  async rules(): Promise<StoredRule[]> {
    const rules: StoredRule[] = [];
    let cursor: string | null = null;
    do {
      const query: Query<"getRules"> = { limit: 1000, cursor };
      const page: Schemas["RulesOut"] = await document(this.api.GET("/rules", { params: { query } }));
      rules.push(...page.rules);
      cursor = cursorOf(page.next);
    } while (cursor !== null);
    return rules;
  }

  changeRule(id: string, body: Rule): Promise<StoredRule> {
    return found(this.api.PUT("/rules/{rule_id}", { params: { path: { rule_id: id } }, body }));
  }

  async deleteRule(id: string): Promise<void> {
    await answered(this.api.DELETE("/rules/{rule_id}", { params: { path: { rule_id: id } } }));
  }

  testRule(id: string): Promise<Schemas["TestedRuleOut"]> {
    return found(this.api.POST("/rules/{rule_id}/test", { params: { path: { rule_id: id } } }));
  }

  ruleVerification(id: string): Promise<RuleVerification> {
    return document(this.api.GET("/rules/{rule_id}/verification", { params: { path: { rule_id: id } } }));
  }
}

async function answered<Data>(answer: Answer<Data>): Promise<Data | undefined> {
  const { data, error, response } = await answer;
  if (!response.ok) throw new NowcastError(response.status, typeof error === "object" && error ? error : {});
  return data;
}

async function found<Data>(answer: Answer<Data>): Promise<Data> {
  const data = await answered(answer);
  if (data === undefined) throw new NowcastError(0, { title: "no content" });
  return data;
}

/** The JSON document of an operation that also has other media types, which only `Accept` asks for. */
async function document<Data>(answer: Answer<unknown>): Promise<Data> {
  return (await found(answer)) as Data;
}

/** The cursor in the link to the next page. */
function cursorOf(next: string | null | undefined): string | null {
  return next ? new URLSearchParams(next.split("?")[1]).get("cursor") : null;
}

function joined(places: Place[]): { lat: number[]; lon: number[] } {
  return { lat: places.map((place) => place.lat), lon: places.map((place) => place.lon) };
}

function list<Item>(found: Item | Item[]): Item[] {
  return Array.isArray(found) ? found : [found];
}
