// Package messages seals and opens protobuf messages by the names of their types, whoever generated them: it works on
// this module's generated code and on github.com/qdrant/go-client, and imports neither.
//
// It fails closed. A message that could carry a payload and is not known here is refused, never sent as it is.
package messages
