/** The check of a data folder that no server holds: native/addon/engine/data_check.h says what is read and what repair does. */
import { nativeCheckData } from "./addon.ts";
import { NativeReader, NativeWriter } from "./bytes.ts";

export interface Finding {
  /** Data that nothing holds any more; what can be made anew from the store; rows that belong to nothing. */
  readonly kind: "loss" | "derived" | "leftover";
  readonly repaired: boolean;
  /** Absent for the store as a whole. */
  readonly collection?: string;
  /** Id of the point. */
  readonly point?: string;
  readonly text: string;
}

export interface DataReport {
  readonly collections: readonly {
    readonly name: string;
    readonly points: number;
    readonly vectors: number;
    readonly segments: number;
    /** Rows of the segments, those of older versions included. */
    readonly rows: number;
  }[];
  readonly findings: readonly Finding[];
  /** Findings beyond the first 10,000. */
  readonly more: number;
  /** File that repair moved leftovers to. */
  readonly movedTo?: string;
}

const kinds = { 1: "loss", 2: "derived", 3: "leftover" } as const;

/** Throws unavailable when a server holds the folder, not_found when there is no store in it. */
export async function checkData(dataDir: string, repair: boolean): Promise<DataReport> {
  const message = new NativeWriter()
    .text(dataDir)
    .u8(repair ? 1 : 0)
    .done();
  const reader = new NativeReader(await nativeCheckData(message));
  const collections = Array.from({ length: reader.u32() }, () => ({
    name: reader.text(),
    points: reader.size(),
    vectors: reader.size(),
    segments: reader.size(),
    rows: reader.size(),
  }));
  const findings = Array.from({ length: reader.u32() }, (): Finding => {
    const kind = kinds[reader.u8() as keyof typeof kinds];
    const repaired = reader.u8() === 1;
    const collection = reader.text();
    const point = reader.text();
    return {
      kind,
      repaired,
      ...(collection === "" ? {} : { collection }),
      ...(point === "" ? {} : { point }),
      text: reader.text(),
    };
  });
  const more = reader.size();
  const movedTo = reader.text();
  return { collections, findings, more, ...(movedTo === "" ? {} : { movedTo }) };
}
