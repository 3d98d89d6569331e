package seal

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The envelope's constants. They may never change for version 1.
const (
	SealedKey     = "$sealpoint"
	AlgorithmName = "HPKE-P256-SHA256-A256GCM"
	EnvelopesMax  = 8

	version     = 1
	algorithm   = 1
	info        = "sealpoint/v1"
	encBytes    = 65
	nonceBytes  = 12
	tagBytes    = 16
	headerBytes = 3 + 16 + 8 + 2 + encBytes + nonceBytes + tagBytes
)

// SealingID names a collection for good: through rename, alias and snapshot.
type SealingID [16]byte

// SealingIDFrom copies a sealing id from bytes.
func SealingIDFrom(raw []byte) (SealingID, error) {
	var id SealingID
	if len(raw) != len(id) {
		return id, errors.New("sealing id: not 16 bytes")
	}
	copy(id[:], raw)
	return id, nil
}

// PointID is a number or a UUID.
type PointID struct {
	isUUID bool
	num    uint64
	uuid   [16]byte
}

// Num is a number's point id.
func Num(num uint64) PointID { return PointID{num: num} }

// UUID reads a UUID's text: with or without hyphens, in braces or as a urn, as Qdrant takes it.
func UUID(text string) (PointID, error) {
	body := strings.TrimPrefix(strings.ToLower(text), "urn:uuid:")
	if len(body) == 38 && body[0] == '{' && body[37] == '}' {
		body = body[1:37]
	}
	if len(body) == 36 && body[8] == '-' && body[13] == '-' && body[18] == '-' && body[23] == '-' {
		body = body[:8] + body[9:13] + body[14:18] + body[19:23] + body[24:]
	}
	id := PointID{isUUID: true}
	if raw, err := hex.DecodeString(body); err == nil && len(raw) == 16 {
		copy(id.uuid[:], raw)
		return id, nil
	}
	return PointID{}, errors.New("point id: not a UUID")
}

// BoundData is the aad of an envelope and the exporter context of its key.
func BoundData(id SealingID, point PointID) []byte {
	out := make([]byte, 0, 36)
	out = append(out, version)
	out = binary.BigEndian.AppendUint16(out, algorithm)
	out = append(out, id[:]...)
	if point.isUUID {
		return append(append(out, 1), point.uuid[:]...)
	}
	return binary.BigEndian.AppendUint64(append(out, 0), point.num)
}

// Envelope is one sealed map.
type Envelope struct {
	SealingID  SealingID
	KID        KID
	Enc        [encBytes]byte
	Nonce      [nonceBytes]byte
	Tag        [tagBytes]byte
	Ciphertext []byte
}

// Map is the documented object that travels in a payload.
func (e *Envelope) Map() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{
		"version":              int64(version),
		"algorithm":            AlgorithmName,
		"sealing_id":           b64(e.SealingID[:]),
		"kid":                  b64(e.KID[:]),
		"ephemeral_public_key": b64(e.Enc[:]),
		"nonce":                b64(e.Nonce[:]),
		"tag":                  b64(e.Tag[:]),
		"encrypted_data":       b64(e.Ciphertext),
	}
}

// EnvelopeFromMap reads and checks the documented object. Unknown keys are refused.
func EnvelopeFromMap(value any) (*Envelope, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("envelope: not an object")
	}
	e := &Envelope{}
	for name, target := range map[string][]byte{
		"sealing_id": e.SealingID[:], "kid": e.KID[:], "ephemeral_public_key": e.Enc[:], "nonce": e.Nonce[:], "tag": e.Tag[:],
	} {
		raw, err := fromBase64URL(fields, name)
		if err != nil {
			return nil, err
		}
		if len(raw) != len(target) {
			return nil, fmt.Errorf("envelope: %s does not have %d bytes", name, len(target))
		}
		copy(target, raw)
	}
	var err error
	if e.Ciphertext, err = fromBase64URL(fields, "encrypted_data"); err != nil {
		return nil, err
	}
	if fields["version"] != int64(version) {
		return nil, errors.New("envelope: version is not known")
	}
	if fields["algorithm"] != AlgorithmName {
		return nil, errors.New("envelope: algorithm is not known")
	}
	if len(fields) != 8 {
		return nil, errors.New("envelope: holds an unknown key")
	}
	return e, e.check()
}

// Bytes is the binary form, as it is stored.
func (e *Envelope) Bytes() []byte {
	out := make([]byte, 0, headerBytes+len(e.Ciphertext))
	out = append(out, version)
	out = binary.BigEndian.AppendUint16(out, algorithm)
	out = append(out, e.SealingID[:]...)
	out = append(out, e.KID[:]...)
	out = binary.BigEndian.AppendUint16(out, encBytes)
	out = append(out, e.Enc[:]...)
	out = append(out, e.Nonce[:]...)
	out = append(out, e.Tag[:]...)
	return append(out, e.Ciphertext...)
}

// EnvelopeFromBytes reads the binary form.
func EnvelopeFromBytes(data []byte) (*Envelope, error) {
	if len(data) < 3 || data[0] != version {
		return nil, errors.New("envelope: version is not known")
	}
	if binary.BigEndian.Uint16(data[1:]) != algorithm {
		return nil, errors.New("envelope: algorithm is not known")
	}
	if len(data) < headerBytes || binary.BigEndian.Uint16(data[27:]) != encBytes {
		return nil, errors.New("envelope: cut off, or its key has a wrong length")
	}
	e := &Envelope{Ciphertext: append([]byte(nil), data[headerBytes:]...)}
	copy(e.SealingID[:], data[3:])
	copy(e.KID[:], data[19:])
	copy(e.Enc[:], data[29:])
	copy(e.Nonce[:], data[94:])
	copy(e.Tag[:], data[106:])
	return e, e.check()
}

func (e *Envelope) check() error {
	if len(e.Ciphertext) == 0 {
		return errors.New("envelope: encrypted_data is empty")
	}
	if e.Enc[0] != 4 {
		return errors.New("envelope: ephemeral_public_key is not an uncompressed point")
	}
	return nil
}

// ParseEnvelopes reads what stands under SealedKey: a list of 1 to 8 envelopes, oldest first.
func ParseEnvelopes(value any) ([]*Envelope, error) {
	items, ok := value.([]any)
	if !ok || len(items) < 1 || len(items) > EnvelopesMax {
		return nil, fmt.Errorf("envelope: %s is not a list of 1 to %d envelopes", SealedKey, EnvelopesMax)
	}
	envelopes := make([]*Envelope, len(items))
	for i, item := range items {
		var err error
		if envelopes[i], err = EnvelopeFromMap(item); err != nil {
			return nil, err
		}
	}
	return envelopes, nil
}

// fromBase64URL takes the one canonical spelling without padding and refuses anything else.
func fromBase64URL(fields map[string]any, name string) ([]byte, error) {
	value, present := fields[name]
	if !present {
		return nil, fmt.Errorf("envelope: lacks %s", name)
	}
	text, ok := value.(string)
	if ok && !strings.ContainsAny(text, "\r\n") {
		if raw, err := base64.RawURLEncoding.Strict().DecodeString(text); err == nil {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("envelope: %s is not base64url without padding", name)
}
