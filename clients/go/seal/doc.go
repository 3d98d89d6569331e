// Package seal seals and opens payloads without a network, as docs/sealing-format-v1.md fixes it: keys, deterministic
// CBOR, HPKE (RFC 9180) and envelopes. It needs the standard library only.
//
// Payloads are map[string]any with nil, bool, int64 (any Go integer is taken), float64, string, []any and
// map[string]any inside. Integers and floats stay apart: 1 and 1.0 differ.
package seal
