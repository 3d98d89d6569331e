/** Padme (arXiv 1806.03160): the length to pad `length` bytes to. */
export function padmeLength(length: number): number {
  if (length < 2) return length;
  const exponent = 31 - Math.clz32(length);
  const kept = 32 - Math.clz32(exponent);
  if (exponent <= kept) return length;
  const mask = 2 ** (exponent - kept) - 1;
  return length + ((mask + 1 - (length & mask)) & mask);
}
