// Many texts to BM25's sparse vectors in one call, as src/native/bm25.ts asks for it.
#pragma once
#include <string>
#include <string_view>

namespace sealpoint::text {

// Message: u8 queries (0: documents), u32 settings and for each u32 bytes and
//   f64 k, f64 b, f64 average length, u8 tokenizer (TokenizerKind), u8 flags (1 lowercase, 2 fold to ASCII, 4 least length given, 8 greatest
//   length given), u32 least, u32 greatest, text stemmer ("": none), u32 languages of stop words and their names, u32 further stop words and they;
// u32 texts and for each u32 place of its settings, text.
// Answer, for each text: u32 terms, the terms (u32, ascending), the weights (f32); all aligned to 4 bytes.
// Throws bad_input for a language without a list, a stemmer or a tokenizer that is not built in.
std::string bm25_batch(std::string_view message);

}  // namespace sealpoint::text
