package messages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"sealpoint.dev/go/seal"
)

// GetPolicyMethod is the call that tells a collection's sealing ids.
const GetPolicyMethod = "/sealpoint.v1.Sealing/GetPolicy"

// Config is what a client pins on its own side. Nothing of it changes because a server says so.
type Config struct {
	// Recipient is whose key every written payload is sealed to. Without it and RecipientFor nothing is sealed.
	Recipient *seal.PublicKey
	// RecipientFor names the recipient of each point instead.
	RecipientFor func(collection string, point seal.PointID) (*seal.PublicKey, error)
	// PrivateKeys open answers. Envelopes for other keys are left as they are, unless Strict.
	PrivateKeys []*seal.PrivateKey
	// ClearFields are payload keys that stay readable; ClearFieldsOf overrides them by collection.
	ClearFields   []string
	ClearFieldsOf map[string][]string
	// Collections pins sealing ids; those missing are fetched once and then kept.
	Collections map[string]Pin
	// Padding pads plaintexts to Padme buckets.
	Padding bool
	// FreshEphemeral makes an ephemeral key for every point instead of one for each request.
	FreshEphemeral bool
	// Strict makes an envelope that no private key opens an error.
	Strict bool
}

// Pin holds a collection's sealing ids.
type Pin struct {
	SealingID seal.SealingID
	// Accepted are further ids whose envelopes are opened: those of collections copied into this one.
	Accepted []seal.SealingID
	// AppendsEnvelopes is true when the server appends an envelope at set_payload, as Sealpoint does. A plain Qdrant
	// replaces the list, which would lose older envelopes: partial updates are then refused here.
	AppendsEnvelopes bool
}

func (p *Pin) accepted() []seal.SealingID {
	return append([]seal.SealingID{p.SealingID}, p.Accepted...)
}

// Fetch asks a server for a collection's pin: it sends a GetPolicyRequest and returns the answer, both as bytes.
type Fetch func(ctx context.Context, request []byte) ([]byte, error)

// Sealer applies a Config. It is safe for concurrent use.
type Sealer struct {
	config Config
	opener *seal.Opener
	mu     sync.Mutex
	pins   map[string]*Pin
}

// NewSealer checks a configuration.
func NewSealer(config Config) (*Sealer, error) {
	s := &Sealer{config: config, pins: map[string]*Pin{}}
	lists := [][]string{config.ClearFields}
	for _, list := range config.ClearFieldsOf {
		lists = append(lists, list)
	}
	for _, list := range lists {
		if slices.Contains(list, seal.SealedKey) {
			return nil, fmt.Errorf("clear fields: %s is reserved", seal.SealedKey)
		}
	}
	if len(config.PrivateKeys) > 0 {
		var err error
		if s.opener, err = seal.NewOpener(config.PrivateKeys...); err != nil {
			return nil, err
		}
	}
	for name, pin := range config.Collections {
		s.pins[name] = &pin
	}
	return s, nil
}

// Seals tells whether a recipient is pinned.
func (s *Sealer) Seals() bool { return s.config.Recipient != nil || s.config.RecipientFor != nil }

// Opens tells whether there is a private key.
func (s *Sealer) Opens() bool { return s.opener != nil }

// Pin returns the pin of a collection, fetching it once when there is none.
func (s *Sealer) Pin(ctx context.Context, collection string, fetch Fetch) (*Pin, error) {
	s.mu.Lock()
	known := s.pins[collection]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if fetch == nil {
		return nil, fmt.Errorf("no sealing id is pinned for collection %q", collection)
	}
	answer, err := fetch(ctx, policyRequest(collection))
	if err != nil {
		return nil, err
	}
	fetched, err := parsePolicy(answer)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.pins[collection]; known != nil {
		return known, nil
	}
	s.pins[collection] = fetched
	return fetched, nil
}

// Forget drops a pin, after the program itself deleted or replaced the collection.
func (s *Sealer) Forget(collection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pins, collection)
}

func (s *Sealer) clearFields(collection string) []string {
	if list, ok := s.config.ClearFieldsOf[collection]; ok {
		return list
	}
	return s.config.ClearFields
}

func (s *Sealer) recipient(collection string, point seal.PointID) (*seal.PublicKey, error) {
	if s.config.RecipientFor == nil {
		if s.config.Recipient == nil {
			return nil, errors.New("no recipient is pinned for a point")
		}
		return s.config.Recipient, nil
	}
	key, err := s.config.RecipientFor(collection, point)
	if err == nil && key == nil {
		err = errors.New("RecipientFor named no key for a point")
	}
	return key, err
}

func policyRequest(collection string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), collection)
}

// parsePolicy takes the sealing ids of an answer and nothing else.
func parsePolicy(answer []byte) (*Pin, error) {
	pin := &Pin{AppendsEnvelopes: true}
	found := false
	err := eachBytes(answer, func(number protowire.Number, state []byte) error {
		if number != 1 {
			return nil
		}
		return eachBytes(state, func(number protowire.Number, value []byte) error {
			if number != 2 && number != 3 {
				return nil
			}
			id, err := seal.SealingIDFrom(value)
			if err != nil {
				return err
			}
			if number == 2 {
				pin.SealingID, found = id, true
			} else {
				pin.Accepted = append(pin.Accepted, id)
			}
			return nil
		})
	})
	if err == nil && !found {
		err = errors.New("the server's answer holds no sealing id")
	}
	return pin, err
}

func eachBytes(data []byte, visit func(protowire.Number, []byte) error) error {
	malformed := errors.New("the server's policy answer is malformed")
	for len(data) > 0 {
		number, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return malformed
		}
		data = data[size:]
		if kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(number, kind, data); size < 0 {
				return malformed
			}
			data = data[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(data)
		if size < 0 {
			return malformed
		}
		if err := visit(number, value); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}
