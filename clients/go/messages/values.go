package messages

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"sealpoint.dev/go/seal"
)

const depthMax = 128

func field(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(name)
}

// mapToGo reads a map<string, qdrant.Value>.
func mapToGo(entries protoreflect.Map, depth int, keep func(string) bool) (map[string]any, error) {
	out := make(map[string]any, entries.Len())
	var err error
	entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		name := key.String()
		if keep == nil || keep(name) {
			out[name], err = valueToGo(value.Message(), depth)
		}
		return err == nil
	})
	return out, err
}

// valueToGo reads a qdrant.Value; depth is the level that a container at this place has.
func valueToGo(m protoreflect.Message, depth int) (any, error) {
	set := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if set == nil {
		return nil, nil
	}
	value := m.Get(set)
	switch set.Name() {
	case "null_value":
		return nil, nil
	case "double_value":
		return value.Float(), nil
	case "integer_value":
		return value.Int(), nil
	case "string_value":
		return value.String(), nil
	case "bool_value":
		return value.Bool(), nil
	}
	if depth > depthMax {
		return nil, fmt.Errorf("payload: nested deeper than %d levels", depthMax)
	}
	inner := value.Message()
	switch set.Name() {
	case "struct_value":
		return mapToGo(inner.Get(field(inner, "fields")).Map(), depth+1, nil)
	case "list_value":
		list := inner.Get(field(inner, "values")).List()
		out := make([]any, list.Len())
		for i := range out {
			item, err := valueToGo(list.Get(i).Message(), depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = item
		}
		return out, nil
	}
	return nil, errors.New("payload: a value of an unknown kind")
}

// setMap adds entries to a map<string, qdrant.Value>.
func setMap(entries protoreflect.Map, values map[string]any, depth int) error {
	for key, value := range values {
		entry := entries.NewValue()
		if err := setValue(entry.Message(), value, depth); err != nil {
			return err
		}
		entries.Set(protoreflect.ValueOfString(key).MapKey(), entry)
	}
	return nil
}

func setValue(m protoreflect.Message, value any, depth int) error {
	set := func(name protoreflect.Name, v protoreflect.Value) error {
		m.Set(field(m, name), v)
		return nil
	}
	switch v := value.(type) {
	case nil:
		return set("null_value", protoreflect.ValueOfEnum(0))
	case bool:
		return set("bool_value", protoreflect.ValueOfBool(v))
	case string:
		return set("string_value", protoreflect.ValueOfString(v))
	case int64:
		return set("integer_value", protoreflect.ValueOfInt64(v))
	case int:
		return set("integer_value", protoreflect.ValueOfInt64(int64(v)))
	case int32:
		return set("integer_value", protoreflect.ValueOfInt64(int64(v)))
	case uint32:
		return set("integer_value", protoreflect.ValueOfInt64(int64(v)))
	case float64:
		return set("double_value", protoreflect.ValueOfFloat64(v))
	case float32:
		return set("double_value", protoreflect.ValueOfFloat64(float64(v)))
	}
	if depth > depthMax {
		return fmt.Errorf("payload: nested deeper than %d levels", depthMax)
	}
	switch v := value.(type) {
	case map[string]any:
		inner := m.Mutable(field(m, "struct_value")).Message()
		return setMap(inner.Mutable(field(inner, "fields")).Map(), v, depth+1)
	case []any:
		inner := m.Mutable(field(m, "list_value")).Message()
		list := inner.Mutable(field(inner, "values")).List()
		for _, item := range v {
			if err := setValue(list.AppendMutable().Message(), item, depth+1); err != nil {
				return err
			}
		}
		return nil
	case []string:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = item
		}
		return setValue(m, items, depth)
	}
	return fmt.Errorf("payload: a value of type %T has no place in a payload", value)
}

// PayloadToGo reads the field `payload` of a message.
func PayloadToGo(m protoreflect.ProtoMessage) (map[string]any, error) {
	r := m.ProtoReflect()
	fd := payloadField(r.Descriptor())
	if fd == nil {
		return nil, errors.New("the message has no payload")
	}
	return mapToGo(r.Get(fd).Map(), 1, nil)
}

// SetPayload replaces the field `payload` of a message.
func SetPayload(m protoreflect.ProtoMessage, payload map[string]any) error {
	r := m.ProtoReflect()
	fd := payloadField(r.Descriptor())
	if fd == nil {
		return errors.New("the message has no payload")
	}
	r.Clear(fd)
	if len(payload) == 0 {
		return nil
	}
	return setMap(r.Mutable(fd).Map(), payload, 1)
}

// pointIDOf reads a qdrant.PointId.
func pointIDOf(m protoreflect.Message) (seal.PointID, error) {
	if set := m.WhichOneof(m.Descriptor().Oneofs().ByName("point_id_options")); set != nil {
		switch set.Name() {
		case "num":
			return seal.Num(m.Get(set).Uint()), nil
		case "uuid":
			return seal.UUID(m.Get(set).String())
		}
	}
	return seal.PointID{}, errors.New("a point has no id, so that nothing can be sealed to it or opened from it")
}
