/** Calls that add and delete vector names of the collection that the other probes use. */
import { points } from "./probes.ts";

export const vectorNames = [
  points("CreateVectorName", "CreateVectorName", { vector_name: "later", dense_config: { size: 4, distance: "Dot" } }),
  points("a sparse one", "CreateVectorName", { vector_name: "words", sparse_config: { modifier: "Idf" } }),
  points("DeleteVectorName", "DeleteVectorName", { vector_name: "later" }),
  points("of the sparse one", "DeleteVectorName", { vector_name: "words" }),
];
