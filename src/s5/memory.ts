/**
 * Gives a view's memory back at once, where it is the view's alone; the view is empty afterwards. V8 collects by the size of its own heap: buffers of some
 * megabytes that follow one another would wait, a hundred megabytes of them.
 */
export function giveBack({ buffer, byteLength }: ArrayBufferView): void {
  // Small Buffers share one allocation of Node's.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0) buffer.transfer(0);
}
