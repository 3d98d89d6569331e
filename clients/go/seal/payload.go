package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// contextsMax bounds the contexts that an Opener remembers; all are dropped when it is reached.
const contextsMax = 1024

// Context is one HPKE context for one recipient: one ephemeral key, and a key of its own for every point. Points sealed
// under one context show the same ephemeral_public_key, which tells that they came together.
type Context struct {
	recipient *PublicKey
	enc       []byte
	sender    *hpke.Sender
}

// NewContext makes an ephemeral key for a recipient.
func NewContext(recipient *PublicKey) (*Context, error) {
	if recipient == nil {
		return nil, errors.New("seal: no recipient")
	}
	enc, sender, err := hpke.NewSender(recipient.hpke, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info))
	if err != nil {
		return nil, errors.New("seal: the context cannot be made")
	}
	return &Context{recipient: recipient, enc: enc, sender: sender}, nil
}

// Seal seals one map to one point.
func (c *Context) Seal(id SealingID, point PointID, payload map[string]any, padding bool) (*Envelope, error) {
	if _, reserved := payload[SealedKey]; reserved {
		return nil, fmt.Errorf("payload: %s is reserved and cannot be sealed", SealedKey)
	}
	plaintext, err := EncodeCBOR(payload)
	if err != nil {
		return nil, err
	}
	if padding {
		plaintext = append(plaintext, make([]byte, PadmeLength(len(plaintext))-len(plaintext))...)
	}
	aad := BoundData(id, point)
	key, err := c.sender.Export(string(aad), 32)
	if err != nil {
		return nil, errors.New("seal: the key cannot be exported")
	}
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	e := &Envelope{SealingID: id, KID: c.recipient.kid}
	copy(e.Enc[:], c.enc)
	if _, err := rand.Read(e.Nonce[:]); err != nil {
		return nil, err
	}
	sealed := gcm.Seal(nil, e.Nonce[:], plaintext, aad)
	e.Ciphertext = sealed[:len(sealed)-tagBytes]
	copy(e.Tag[:], sealed[len(sealed)-tagBytes:])
	return e, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Options say how payloads are sealed.
type Options struct {
	// ClearFields are top-level keys that stay readable.
	ClearFields []string
	// Padding pads plaintexts to Padme buckets, so that lengths tell less.
	Padding bool
	// FreshEphemeral makes a context for every point, so that nobody sees which points came together.
	FreshEphemeral bool
}

// Batch seals the points of one request or stream chunk: one context for each recipient. It is not safe for
// concurrent use.
type Batch struct {
	id       SealingID
	options  Options
	contexts map[string]*Context
}

// NewBatch starts a batch for a collection.
func NewBatch(id SealingID, options Options) (*Batch, error) {
	if slices.Contains(options.ClearFields, SealedKey) {
		return nil, fmt.Errorf("clear fields: %s is reserved", SealedKey)
	}
	return &Batch{id: id, options: options, contexts: map[string]*Context{}}, nil
}

// Seal seals one whole map; clear fields must be left out by the caller.
func (b *Batch) Seal(recipient *PublicKey, point PointID, payload map[string]any) (*Envelope, error) {
	if recipient == nil {
		return nil, errors.New("seal: no recipient")
	}
	name := string(recipient.Point())
	context := b.contexts[name]
	if context == nil || b.options.FreshEphemeral {
		var err error
		if context, err = NewContext(recipient); err != nil {
			return nil, err
		}
		b.contexts[name] = context
	}
	return context.Seal(b.id, point, payload, b.options.Padding)
}

// SealPayload returns the payload to store: the envelope under SealedKey and the clear fields beside it.
func (b *Batch) SealPayload(recipient *PublicKey, point PointID, payload map[string]any) (map[string]any, error) {
	clear, secret := map[string]any{}, map[string]any{}
	for key, value := range payload {
		if slices.Contains(b.options.ClearFields, key) {
			clear[key] = value
		} else {
			secret[key] = value
		}
	}
	envelope, err := b.Seal(recipient, point, secret)
	if err != nil {
		return nil, err
	}
	clear[SealedKey] = []any{envelope.Map()}
	return clear, nil
}

// SealPayload seals one payload under a context of its own.
func SealPayload(recipient *PublicKey, id SealingID, point PointID, payload map[string]any, options Options) (map[string]any, error) {
	batch, err := NewBatch(id, options)
	if err != nil {
		return nil, err
	}
	return batch.SealPayload(recipient, point, payload)
}

// Opener opens what was sealed to any of its keys. It is safe for concurrent use and remembers contexts, so that a batch
// costs one key exchange.
type Opener struct {
	keys     map[KID]*PrivateKey
	mu       sync.Mutex
	contexts map[string]*hpke.Recipient
}

// NewOpener makes an opener for private keys.
func NewOpener(keys ...*PrivateKey) (*Opener, error) {
	o := &Opener{keys: map[KID]*PrivateKey{}, contexts: map[string]*hpke.Recipient{}}
	for _, key := range keys {
		if key == nil {
			return nil, errors.New("open: a private key is nil")
		}
		o.keys[key.public.kid] = key
	}
	if len(o.keys) == 0 {
		return nil, errors.New("open: no private key")
	}
	return o, nil
}

// Holds tells whether a key id is one of the opener's.
func (o *Opener) Holds(kid KID) bool { return o.keys[kid] != nil }

// Open opens one envelope. Its only error is ErrOpen.
func (o *Opener) Open(e *Envelope, point PointID, accepted ...SealingID) (map[string]any, error) {
	key := o.keys[e.KID]
	if key == nil || !slices.Contains(accepted, e.SealingID) {
		return nil, ErrOpen
	}
	context, err := o.context(e, key)
	if err != nil {
		return nil, ErrOpen
	}
	aad := BoundData(e.SealingID, point)
	content, err := context.Export(string(aad), 32)
	if err != nil {
		return nil, ErrOpen
	}
	gcm, err := newGCM(content)
	if err != nil {
		return nil, ErrOpen
	}
	sealed := append(slices.Clone(e.Ciphertext), e.Tag[:]...)
	plaintext, err := gcm.Open(sealed[:0], e.Nonce[:], sealed, aad)
	if err != nil {
		return nil, ErrOpen
	}
	value, err := DecodeCBOR(plaintext, true)
	opened, ok := value.(map[string]any)
	if err != nil || !ok {
		return nil, ErrOpen
	}
	if _, reserved := opened[SealedKey]; reserved {
		return nil, ErrOpen
	}
	return opened, nil
}

// OpenPayload opens all envelopes of a payload and merges them in order over its clear fields.
func (o *Opener) OpenPayload(payload map[string]any, point PointID, accepted ...SealingID) (map[string]any, error) {
	merged := maps.Clone(payload)
	value, sealed := payload[SealedKey]
	if !sealed {
		return merged, nil
	}
	delete(merged, SealedKey)
	envelopes, err := ParseEnvelopes(value)
	if err != nil {
		return nil, err
	}
	for _, envelope := range envelopes {
		opened, err := o.Open(envelope, point, accepted...)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, opened)
	}
	return merged, nil
}

func (o *Opener) context(e *Envelope, key *PrivateKey) (*hpke.Recipient, error) {
	name := string(e.KID[:]) + string(e.Enc[:])
	o.mu.Lock()
	context := o.contexts[name]
	o.mu.Unlock()
	if context != nil {
		return context, nil
	}
	context, err := hpke.NewRecipient(e.Enc[:], key.hpke, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info))
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.contexts) >= contextsMax {
		clear(o.contexts)
	}
	o.contexts[name] = context
	return context, nil
}
