package messages

import (
	"context"
	"errors"
	"maps"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sealpoint.dev/go/seal"
)

// PinOf finds the pin of a collection.
type PinOf func(ctx context.Context, collection string) (*Pin, error)

// Open opens in place the points of an answer that are sealed to one of the private keys. The collection comes from the
// request; looked-up groups come from the request's with_lookup.
func (s *Sealer) Open(ctx context.Context, request, answer any, pinOf PinOf) error {
	if s.opener == nil {
		return nil
	}
	return s.OpenWith(ctx, s.opener, request, answer, pinOf)
}

// OpenWith is Open with the keys of another opener.
func (s *Sealer) OpenWith(ctx context.Context, opener *seal.Opener, request, answer any, pinOf PinOf) error {
	m, ok := answer.(proto.Message)
	if !ok {
		return nil
	}
	var found []*sealedPoint
	collect(m.ProtoReflect(), false, &found)
	for _, point := range found {
		opens, err := s.prepare(point, opener)
		if err != nil {
			return err
		}
		if !opens {
			continue
		}
		collection := collectionOf(request, point.lookedUp)
		if collection == "" {
			return errors.New("the answer holds sealed points and its request names no collection")
		}
		pin, err := pinOf(ctx, collection)
		if err != nil {
			return err
		}
		if err := openPoint(opener, point, pin); err != nil {
			return err
		}
	}
	return nil
}

type sealedPoint struct {
	message   protoreflect.Message
	lookedUp  bool
	envelopes []*seal.Envelope
}

// prepare parses a point's envelopes and tells whether all of them can be opened: half of a point would show stale
// fields, so it is opened wholly or not at all.
func (s *Sealer) prepare(point *sealedPoint, opener *seal.Opener) (bool, error) {
	entries := point.message.Get(payloadField(point.message.Descriptor())).Map()
	value, err := valueToGo(entries.Get(protoreflect.ValueOfString(seal.SealedKey).MapKey()).Message(), 1)
	if err == nil {
		point.envelopes, err = seal.ParseEnvelopes(value)
	}
	if err != nil {
		if s.config.Strict {
			return false, err
		}
		return false, nil
	}
	for _, e := range point.envelopes {
		if !opener.Holds(e.KID) {
			if s.config.Strict {
				return false, seal.ErrOpen
			}
			return false, nil
		}
	}
	return true, nil
}

func openPoint(opener *seal.Opener, point *sealedPoint, pin *Pin) error {
	m := point.message
	id, err := pointIDOf(m.Get(field(m, "id")).Message())
	if err != nil {
		return err
	}
	merged := map[string]any{}
	for _, e := range point.envelopes {
		opened, err := opener.Open(e, id, pin.accepted()...)
		if err != nil {
			return err
		}
		maps.Copy(merged, opened)
	}
	entries := m.Mutable(payloadField(m.Descriptor())).Map()
	entries.Clear(protoreflect.ValueOfString(seal.SealedKey).MapKey())
	return setMap(entries, merged, 1)
}

func collectionOf(request any, lookedUp bool) string {
	m, ok := request.(proto.Message)
	if !ok {
		return ""
	}
	r := m.ProtoReflect()
	if lookedUp {
		if fd := field(r, "with_lookup"); fd != nil && r.Has(fd) {
			lookup := r.Get(fd).Message()
			return lookup.Get(field(lookup, "collection")).String()
		}
	}
	fd := field(r, "collection_name")
	if fd == nil {
		return ""
	}
	return r.Get(fd).String()
}

// collect walks an answer for points with envelopes, by the types' names.
func collect(m protoreflect.Message, lookedUp bool, found *[]*sealedPoint) {
	descriptor := m.Descriptor()
	if !carriesPoints(descriptor) {
		return
	}
	if isPoint(descriptor) {
		entries := m.Get(payloadField(descriptor)).Map()
		if entries.Has(protoreflect.ValueOfString(seal.SealedKey).MapKey()) {
			*found = append(*found, &sealedPoint{message: m, lookedUp: lookedUp})
		}
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		inner := lookedUp || (fd.Name() == "lookup" && descriptor.FullName() == "qdrant.PointGroup")
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, item protoreflect.Value) bool {
					collect(item.Message(), inner, found)
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range value.List().Len() {
				collect(value.List().Get(i).Message(), inner, found)
			}
		default:
			collect(value.Message(), inner, found)
		}
		return true
	})
}

// carriers remembers for each type whether it can hold points with payloads, at any depth.
var carriers sync.Map

func carriesPoints(descriptor protoreflect.MessageDescriptor) bool {
	if known, ok := carriers.Load(descriptor); ok {
		return known.(bool)
	}
	seen := map[protoreflect.FullName]bool{}
	stack := []protoreflect.MessageDescriptor{descriptor}
	result := false
	for len(stack) > 0 && !result {
		current := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[current.FullName()] {
			continue
		}
		seen[current.FullName()] = true
		result = current.FullName() == "qdrant.PointStruct" || payloadField(current) != nil
		for i := range current.Fields().Len() {
			if inner := current.Fields().Get(i).Message(); inner != nil {
				stack = append(stack, inner)
			}
		}
	}
	carriers.Store(descriptor, result)
	return result
}

// payloadField is the field `map<string, qdrant.Value> payload`, if the type has it.
func payloadField(descriptor protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	fd := descriptor.Fields().ByName("payload")
	if fd == nil || !fd.IsMap() || fd.MapValue().Message() == nil || fd.MapValue().Message().FullName() != "qdrant.Value" {
		return nil
	}
	return fd
}

func isPoint(descriptor protoreflect.MessageDescriptor) bool {
	id := descriptor.Fields().ByName("id")
	return payloadField(descriptor) != nil && id != nil && id.Message() != nil && id.Message().FullName() == "qdrant.PointId"
}
