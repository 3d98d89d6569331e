/** A validator's error over HTTP names the field as Qdrant's JSON has it, where the handlers that both doors share name the message's. */

const bodyError = /^Validation error in body: \[(.+?): /;

/** The parts that Qdrant's JSON bodies are flattened of, by which its validator calls their fields. */
const wrappers: ReadonlyMap<string, string> = new Map([
  ["/points", "point_request"],
  ["/points/count", "count_request"],
  ["/points/discover", "discover_request"],
  ["/points/discover/batch", "discover_request"],
  ["/points/query", "internal"],
  ["/points/query/batch", "internal"],
  ["/points/query/groups", "search_group_request"],
  ["/points/recommend", "recommend_request"],
  ["/points/recommend/batch", "recommend_request"],
  ["/points/recommend/groups", "recommend_group_request"],
  ["/points/scroll", "scroll_request"],
  ["/points/search", "search_request"],
  ["/points/search/batch", "search_request"],
  ["/points/search/groups", "search_group_request"],
  ["/points/search/matrix/offsets", "search_request"],
  ["/points/search/matrix/pairs", "search_request"],
  ["/facet", "facet_request"],
]);

const grouping = /^(?:group_by|group_size|limit)$/;

/** `url` is the route's. Texts that are no error of the validator stay. */
export function toJsonFields(message: string, method: string, url: string | undefined): string {
  const field = bodyError.exec(message)?.[1];
  if (field === undefined) return message;
  const rest = message.slice(message.indexOf(field) + field.length);
  return `Validation error in JSON body: [${jsonField(field, method, url ?? "")}${rest}`;
}

function jsonField(field: string, method: string, url: string): string {
  const path = url.replace(/^\/collections\/:name/, "");
  // A PUT of points is an upsert, which is not flattened.
  const wrapper = method === "POST" ? wrappers.get(path) : undefined;
  if (wrapper !== undefined) return wrapped(field, wrapper, path);
  return field
    .replace(/^vectors_config\.params(?=\.)/, "vectors")
    .replace(/^vectors_config\.params_map\.[^.]+/, "vectors.?")
    .replace(/^sparse_vectors_config\.map\.[^.]+/, "sparse_vectors.?")
    .replace(/^(dense|sparse)_config(?=\.)/, "$1")
    .replace(/\.vectors(\..+)?\.(data|values|indices)$/, (_all, name: string | undefined, part: string) =>
      name === undefined ? `.vector.${part}` : `.vector.?.${part}`,
    );
}

function wrapped(field: string, wrapper: string, path: string): string {
  const inGroup = path.endsWith("/groups") && grouping.test(field) ? "group_request." : "";
  const [, index, name = field] = /^(?:searches)?\[(\d+)\]\.(.+)$/.exec(field) ?? [];
  return index === undefined ? `${wrapper}.${inGroup}${field}` : `searches[${index}].${wrapper}.${name}`;
}
