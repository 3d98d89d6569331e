/** Opening failed: one text for a wrong key, a wrong place and tampering. */
export class OpenError extends Error {
  constructor() {
    super("cannot open the seal");
    this.name = "OpenError";
  }
}

/** Wrong input to sealing: a key, a payload or an envelope. Never holds any of a key or a payload's values. */
export class SealError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SealError";
  }
}
