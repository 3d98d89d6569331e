/** Padme (arXiv 1806.03160, algorithm 1): the length to pad `length` bytes to. Leaks O(log log L) bits, costs at most 12 %. */
export function padmeLength(length: number): number {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const kept = Math.floor(Math.log2(exponent)) + 1;
  const step = 2 ** (exponent - kept);
  // Lengths below 8 give a step of at most 1: they are left as they are.
  return step <= 1 ? length : Math.ceil(length / step) * step;
}
