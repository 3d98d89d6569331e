package messages

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sealpoint.dev/go/seal"
)

const (
	upsertName      = "qdrant.UpsertPoints"
	setPayloadName  = "qdrant.SetPayloadPoints"
	updateBatchName = "qdrant.UpdateBatchPoints"
	bulkName        = "sealpoint.v1.BulkUpsertRequest"
)

// Sealed is what to send in place of a request: usually one message, one for each id at set_payload.
type Sealed struct {
	Messages []proto.Message
	// split tells for each operation of an UpdateBatch how many it became; nil when nothing was split.
	split []int
}

// MendAnswer brings an UpdateBatch answer back to one result for each operation that the caller gave.
func (s *Sealed) MendAnswer(answer any) {
	m, ok := answer.(proto.Message)
	if !ok || s.split == nil {
		return
	}
	r := m.ProtoReflect()
	fd := field(r, "result")
	if fd == nil || !fd.IsList() {
		return
	}
	list := r.Mutable(fd).List()
	at := 0
	for i, count := range s.split {
		at += count
		if at > list.Len() {
			return
		}
		// Never overtakes what is still to be read: every operation became one or more.
		list.Set(i, list.Get(at-1))
	}
	list.Truncate(len(s.split))
}

// CollectionToPin names the collection whose sealing id must be known before a request can be sealed; "" when the
// request needs no sealing. With force a request is sealed although no recipient is pinned: it names its own.
func (s *Sealer) CollectionToPin(request any, force bool) (string, error) {
	if !s.Seals() && !force {
		return "", nil
	}
	m, ok := request.(proto.Message)
	if !ok {
		return "", fmt.Errorf("a request of type %T is no protobuf message and cannot be sealed", request)
	}
	r := m.ProtoReflect()
	switch name := r.Descriptor().FullName(); name {
	case upsertName, setPayloadName, updateBatchName:
		return r.Get(field(r, "collection_name")).String(), nil
	case bulkName:
		return "", errors.New("bulk upserts are sealed by a stream sealer")
	default:
		if carriesPoints(r.Descriptor()) {
			return "", fmt.Errorf("messages of type %s carry payloads and cannot be sealed here", name)
		}
		return "", nil
	}
}

// Seal seals a unary request. The caller's message is never changed.
func (s *Sealer) Seal(method string, request proto.Message, collection string, pin *Pin, recipient *seal.PublicKey) (*Sealed, error) {
	w, err := s.newWork(collection, pin, recipient, false)
	if err != nil {
		return nil, err
	}
	switch request.ProtoReflect().Descriptor().FullName() {
	case upsertName:
		sealed := proto.Clone(request)
		return &Sealed{Messages: []proto.Message{sealed}}, w.upsert(sealed.ProtoReflect())
	case setPayloadName:
		messages, err := w.payloadUpdate(request.ProtoReflect(), strings.HasSuffix(method, "/OverwritePayload"))
		if err != nil {
			return nil, err
		}
		sealed := &Sealed{}
		for _, m := range messages {
			sealed.Messages = append(sealed.Messages, m.Interface())
		}
		return sealed, nil
	case updateBatchName:
		return w.updateBatch(request)
	}
	return nil, errors.New("the request cannot be sealed")
}

// work seals one request: one batch, so one HPKE context for each recipient.
type work struct {
	sealer     *Sealer
	collection string
	pin        *Pin
	recipient  *seal.PublicKey
	clear      []string
	options    seal.Options
	batch      *seal.Batch
}

func (s *Sealer) newWork(collection string, pin *Pin, recipient *seal.PublicKey, fresh bool) (*work, error) {
	if pin == nil {
		return nil, errors.New("the collection's sealing id is not known")
	}
	w := &work{sealer: s, collection: collection, pin: pin, recipient: recipient, clear: s.clearFields(collection)}
	w.options = seal.Options{Padding: s.config.Padding, FreshEphemeral: s.config.FreshEphemeral || fresh}
	var err error
	w.batch, err = seal.NewBatch(pin.SealingID, w.options)
	return w, err
}

// takeOptions reads and removes the request's own recipient, which wins over the pinned one: it is the program's choice.
func (w *work) takeOptions(m protoreflect.Message) error {
	key, err := takePublicKey(m)
	if err != nil {
		return err
	}
	if key != nil {
		w.recipient = key
	}
	if fd := field(m, "fresh_ephemeral"); fd != nil && m.Has(fd) {
		if m.Get(fd).Bool() && !w.options.FreshEphemeral {
			w.options.FreshEphemeral = true
			if w.batch, err = seal.NewBatch(w.pin.SealingID, w.options); err != nil {
				return err
			}
		}
		m.Clear(fd)
	}
	return nil
}

func takePublicKey(m protoreflect.Message) (*seal.PublicKey, error) {
	fd := field(m, "public_key")
	if fd == nil || !m.Has(fd) {
		return nil, nil
	}
	key, err := seal.ParsePublicKey(m.Get(fd).String())
	m.Clear(fd)
	return key, err
}

func (w *work) upsert(m protoreflect.Message) error {
	if err := w.takeOptions(m); err != nil {
		return err
	}
	return w.points(m)
}

// points seals the field `points` in place.
func (w *work) points(m protoreflect.Message) error {
	list := m.Get(field(m, "points")).List()
	for i := range list.Len() {
		if err := w.point(list.Get(i).Message()); err != nil {
			return fmt.Errorf("points[%d]: %w", i, err)
		}
	}
	return nil
}

func (w *work) point(m protoreflect.Message) error {
	id, err := pointIDOf(m.Get(field(m, "id")).Message())
	if err != nil {
		return err
	}
	recipient, err := takePublicKey(m)
	if err != nil {
		return err
	}
	if recipient == nil {
		recipient = w.recipient
	}
	return w.payload(m, id, recipient)
}

// payload seals the field `payload` of a message in place.
func (w *work) payload(m protoreflect.Message, id seal.PointID, recipient *seal.PublicKey) error {
	fd := payloadField(m.Descriptor())
	if fd == nil {
		return errors.New("the message has no payload")
	}
	entries := m.Mutable(fd).Map()
	isSecret := func(key string) bool { return key != seal.SealedKey && !slices.Contains(w.clear, key) }
	secret, err := mapToGo(entries, 1, isSecret)
	if err != nil {
		return err
	}
	reserved := protoreflect.ValueOfString(seal.SealedKey).MapKey()
	if entries.Has(reserved) {
		// A point that was read unopened and is written back. Its envelopes must be whole and of this collection.
		if len(secret) > 0 {
			return fmt.Errorf("payload: %s stands beside fields that are not sealed", seal.SealedKey)
		}
		return w.checkEnvelopes(entries.Get(reserved).Message())
	}
	if recipient == nil {
		if recipient, err = w.sealer.recipient(w.collection, id); err != nil {
			return err
		}
	}
	envelope, err := w.batch.Seal(recipient, id, secret)
	if err != nil {
		return err
	}
	for key := range secret {
		entries.Clear(protoreflect.ValueOfString(key).MapKey())
	}
	return setMap(entries, map[string]any{seal.SealedKey: []any{envelope.Map()}}, 1)
}

func (w *work) checkEnvelopes(m protoreflect.Message) error {
	value, err := valueToGo(m, 1)
	if err != nil {
		return err
	}
	envelopes, err := seal.ParseEnvelopes(value)
	if err != nil {
		return err
	}
	for _, e := range envelopes {
		if !slices.Contains(w.pin.accepted(), e.SealingID) {
			return fmt.Errorf("payload: %s was made for another collection", seal.SealedKey)
		}
	}
	return nil
}

// payloadUpdate seals SetPayloadPoints, or the operation of the same shape: one message for each point id.
func (w *work) payloadUpdate(m protoreflect.Message, overwrite bool) ([]protoreflect.Message, error) {
	what := "set_payload"
	if overwrite {
		what = "overwrite_payload"
	}
	shared := proto.Clone(m.Interface()).ProtoReflect()
	if err := w.takeOptions(shared); err != nil {
		return nil, err
	}
	if key := shared.Get(field(shared, "key")).String(); key != "" {
		top, _, _ := strings.Cut(strings.ReplaceAll(key, "[", "."), ".")
		if slices.Contains(w.clear, strings.Trim(top, `"`)) {
			return []protoreflect.Message{shared}, nil
		}
		return nil, fmt.Errorf("%s: key points into a sealed field; write the whole field instead", what)
	}
	secrets := 0
	for key := range shared.Get(payloadField(shared.Descriptor())).Map().Range {
		if key.String() == seal.SealedKey {
			return nil, fmt.Errorf("payload: %s is reserved", seal.SealedKey)
		}
		if !slices.Contains(w.clear, key.String()) {
			secrets++
		}
	}
	if secrets == 0 && !overwrite {
		// Clear fields only: no envelope is used up for them.
		return []protoreflect.Message{shared}, nil
	}
	selector := shared.Get(field(shared, "points_selector")).Message()
	set := selector.WhichOneof(selector.Descriptor().Oneofs().ByName("points_selector_one_of"))
	if set == nil || set.Name() != "points" {
		return nil, fmt.Errorf("%s: sealed fields are bound to their point; select points by ids, not by a filter", what)
	}
	chosen := selector.Get(set).Message()
	ids := chosen.Get(field(chosen, "ids")).List()
	if ids.Len() == 0 {
		return nil, fmt.Errorf("%s: the points selector holds no ids", what)
	}
	if !overwrite && !w.pin.AppendsEnvelopes {
		return nil, fmt.Errorf("%s: this server would replace the point's older envelopes; overwrite the whole payload, or pin "+
			"the collection with AppendsEnvelopes when the server is a Sealpoint", what)
	}
	sealed := make([]protoreflect.Message, 0, ids.Len())
	for i := range ids.Len() {
		one := proto.Clone(shared.Interface()).ProtoReflect()
		oneIDs := one.Mutable(field(one, "points_selector")).Message().Mutable(set).Message()
		list := oneIDs.Mutable(field(oneIDs, "ids")).List()
		list.Set(0, list.Get(i))
		list.Truncate(1)
		id, err := pointIDOf(list.Get(0).Message())
		if err != nil {
			return nil, err
		}
		if err := w.payload(one, id, w.recipient); err != nil {
			return nil, err
		}
		sealed = append(sealed, one)
	}
	return sealed, nil
}

func (w *work) updateBatch(request proto.Message) (*Sealed, error) {
	m := proto.Clone(request).ProtoReflect()
	fd := field(m, "operations")
	before := m.Get(fd).List()
	after := m.NewField(fd).List()
	sealed := &Sealed{Messages: []proto.Message{m.Interface()}}
	wasSplit := false
	for i := range before.Len() {
		operation := before.Get(i).Message()
		set := operation.WhichOneof(operation.Descriptor().Oneofs().ByName("operation"))
		if set == nil {
			return nil, fmt.Errorf("operations[%d]: empty or of a kind that is not known here", i)
		}
		// Each operation names its own recipient; none inherits the one before.
		kept := *w
		count := 1
		switch set.Name() {
		case "upsert":
			if err := w.upsert(operation.Mutable(set).Message()); err != nil {
				return nil, fmt.Errorf("operations[%d]: %w", i, err)
			}
			after.Append(before.Get(i))
		case "set_payload", "overwrite_payload":
			updates, err := w.payloadUpdate(operation.Get(set).Message(), set.Name() == "overwrite_payload")
			if err != nil {
				return nil, fmt.Errorf("operations[%d]: %w", i, err)
			}
			for _, update := range updates {
				after.AppendMutable().Message().Set(set, protoreflect.ValueOfMessage(update))
			}
			count = len(updates)
		default:
			after.Append(before.Get(i))
		}
		*w = kept
		wasSplit = wasSplit || count != 1
		sealed.split = append(sealed.split, count)
	}
	if !wasSplit {
		sealed.split = nil
	}
	m.Set(fd, protoreflect.ValueOfList(after))
	return sealed, nil
}

// StreamSealer seals the messages of one BulkUpsert stream in order: one HPKE context for each chunk and recipient.
type StreamSealer struct {
	sealer     *Sealer
	collection string
	recipient  *seal.PublicKey
	fresh      bool
	pin        *Pin
}

// NewStreamSealer makes a sealer for one stream; recipient may be nil.
func (s *Sealer) NewStreamSealer(recipient *seal.PublicKey) *StreamSealer {
	return &StreamSealer{sealer: s, recipient: recipient}
}

// StartOf returns the collection when the message is a stream's start.
func StartOf(m proto.Message) (collection string, isStart bool, err error) {
	r := m.ProtoReflect()
	if r.Descriptor().FullName() != bulkName {
		return "", false, fmt.Errorf("the stream's messages of type %s cannot be sealed", r.Descriptor().FullName())
	}
	fd := field(r, "start")
	if !r.Has(fd) {
		return "", false, nil
	}
	start := r.Get(fd).Message()
	return start.Get(field(start, "collection_name")).String(), true, nil
}

// Seal seals one message; pin is needed with the start message.
func (t *StreamSealer) Seal(m proto.Message, pin *Pin) (proto.Message, error) {
	collection, isStart, err := StartOf(m)
	if err != nil {
		return nil, err
	}
	sealed := proto.Clone(m)
	r := sealed.ProtoReflect()
	if isStart {
		start := r.Mutable(field(r, "start")).Message()
		// The recipient does its work on this side; the server must not seal again.
		key, err := takePublicKey(start)
		if err != nil {
			return nil, err
		}
		if key != nil {
			t.recipient = key
		}
		t.collection, t.pin = collection, pin
		t.fresh = start.Get(field(start, "fresh_ephemeral")).Bool()
		return sealed, nil
	}
	if t.pin == nil {
		return nil, errors.New("a stream's first message is its start")
	}
	w, err := t.sealer.newWork(t.collection, t.pin, t.recipient, t.fresh)
	if err != nil {
		return nil, err
	}
	return sealed, w.points(r.Mutable(field(r, "chunk")).Message())
}
