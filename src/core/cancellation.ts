/** Whether anybody still waits for an answer. An AbortSignal is one; a call of a door another, which costs nothing until it is asked. */
export interface Cancellation {
  readonly aborted: boolean;
  throwIfAborted(): void;
}
