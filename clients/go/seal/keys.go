package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const keyTextMax = 1024

// SubjectPublicKeyInfo (RFC 5480) of a P-256 key up to its point.
var (
	spkiUncompressed, _ = hex.DecodeString("3059301306072a8648ce3d020106082a8648ce3d030107034200")
	spkiCompressed, _   = hex.DecodeString("3039301306072a8648ce3d020106082a8648ce3d030107032200")
)

// KID is the first 8 bytes of SHA-256 over a recipient's uncompressed SubjectPublicKeyInfo.
type KID [8]byte

// PublicKey is a recipient.
type PublicKey struct {
	key  *ecdh.PublicKey
	hpke hpke.PublicKey
	kid  KID
}

// PrivateKey opens what was sealed to its public key.
type PrivateKey struct {
	key    *ecdh.PrivateKey
	hpke   hpke.PrivateKey
	public *PublicKey
}

// ParsePublicKey reads PEM (SPKI), hex, 0x-hex, base64 or base64url of an SPKI or of a compressed or uncompressed point.
// Errors never repeat the key.
func ParsePublicKey(text string) (*PublicKey, error) {
	text, err := checkedText(text, "public key")
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(text, "-----BEGIN") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("public key: the PEM is malformed")
		}
		if block.Type != "PUBLIC KEY" {
			return nil, errors.New("public key: the PEM does not hold a PUBLIC KEY (SPKI)")
		}
		if !bytes.HasPrefix(block.Bytes, spkiUncompressed) && !bytes.HasPrefix(block.Bytes, spkiCompressed) {
			return nil, errors.New("public key: the PEM does not hold a key of the curve P-256")
		}
		return ParsePublicKeyBytes(block.Bytes)
	}
	raw, err := textBytes(text, "public key", 32, 33, 59, 65, 91)
	if err != nil {
		return nil, err
	}
	return ParsePublicKeyBytes(raw)
}

// ParsePublicKeyBytes reads an SPKI in DER or a point.
func ParsePublicKeyBytes(raw []byte) (*PublicKey, error) {
	if len(raw) == 91 && bytes.HasPrefix(raw, spkiUncompressed) {
		raw = raw[26:]
	} else if len(raw) == 59 && bytes.HasPrefix(raw, spkiCompressed) {
		raw = raw[26:]
	}
	switch {
	case len(raw) == 65 && raw[0] == 4:
	case len(raw) == 33 && (raw[0] == 2 || raw[0] == 3):
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), raw)
		if x == nil {
			return nil, errors.New("public key: the point is not on the curve P-256")
		}
		point := make([]byte, 65)
		point[0] = 4
		x.FillBytes(point[1:33])
		y.FillBytes(point[33:])
		raw = point
	case len(raw) == 32:
		return nil, errors.New("public key: X-only keys are refused, send the compressed or uncompressed point")
	default:
		return nil, errors.New("public key: neither a P-256 SPKI nor a compressed (33) or uncompressed (65) point")
	}
	// Checks that the point is on the curve; infinity has no such encoding.
	key, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		return nil, errors.New("public key: the point is not on the curve P-256")
	}
	return newPublicKey(key)
}

func newPublicKey(key *ecdh.PublicKey) (*PublicKey, error) {
	hpkeKey, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	public := &PublicKey{key: key, hpke: hpkeKey}
	digest := sha256.Sum256(append(bytes.Clone(spkiUncompressed), key.Bytes()...))
	copy(public.kid[:], digest[:])
	return public, nil
}

// KID names the key in envelopes.
func (k *PublicKey) KID() KID { return k.kid }

// Point is the uncompressed point, 65 bytes.
func (k *PublicKey) Point() []byte { return k.key.Bytes() }

// Hex is the uncompressed point in hex.
func (k *PublicKey) Hex() string { return hex.EncodeToString(k.key.Bytes()) }

// PEM is the SubjectPublicKeyInfo.
func (k *PublicKey) PEM() string {
	der := append(bytes.Clone(spkiUncompressed), k.key.Bytes()...)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Equal tells whether both are the same key.
func (k *PublicKey) Equal(other *PublicKey) bool { return other != nil && k.key.Equal(other.key) }

// String shows the key's id only.
func (k *PublicKey) String() string { return "PublicKey(kid=" + hex.EncodeToString(k.kid[:]) + ")" }

// GenerateKey makes a new key pair.
func GenerateKey() (*PrivateKey, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return newPrivateKey(key)
}

// ParsePrivateKey reads PEM (PKCS#8 or SEC1), or hex, 0x-hex, base64 or base64url of the 32-byte scalar.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	text, err := checkedText(text, "private key")
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(text, "-----BEGIN") {
		return parsePrivatePEM(text)
	}
	raw, err := textBytes(text, "private key", 32)
	if err != nil {
		return nil, err
	}
	key, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("private key: the scalar is outside of the group's order")
	}
	return newPrivateKey(key)
}

func parsePrivatePEM(text string) (*PrivateKey, error) {
	// Causes are dropped on purpose: parsers may quote what they read.
	unusable := errors.New("private key: not an unencrypted PKCS#8 or SEC1 PEM of the curve P-256")
	block, rest := pem.Decode([]byte(text))
	// OpenSSL writes the curve's name before a SEC1 key.
	if block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, unusable
	}
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, unusable
	}
	ec, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || ec.Curve != elliptic.P256() {
		return nil, unusable
	}
	key, err := ec.ECDH()
	if err != nil {
		return nil, unusable
	}
	return newPrivateKey(key)
}

func newPrivateKey(key *ecdh.PrivateKey) (*PrivateKey, error) {
	hpkeKey, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, errors.New("private key: unusable")
	}
	public, err := newPublicKey(key.PublicKey())
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: key, hpke: hpkeKey, public: public}, nil
}

// Public is the key to seal to.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// PEM is PKCS#8, unencrypted: keep it where only its owner reads.
func (k *PrivateKey) PEM() (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return "", errors.New("private key: cannot be written")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// String shows the key's id only, and so does every %v.
func (k *PrivateKey) String() string {
	return "PrivateKey(kid=" + hex.EncodeToString(k.public.kid[:]) + ")"
}

// GoString keeps %#v from printing the scalar.
func (k *PrivateKey) GoString() string { return k.String() }

func checkedText(text, what string) (string, error) {
	if len(text) > keyTextMax {
		return "", fmt.Errorf("%s: longer than %d characters", what, keyTextMax)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("%s: empty", what)
	}
	return text, nil
}

// textBytes reads hex or base64. Hex is told from base64 by its length, so that no text has two readings.
func textBytes(text, what string, sizes ...int) ([]byte, error) {
	hexed := strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	if raw, err := hex.DecodeString(hexed); err == nil {
		for _, size := range sizes {
			if len(raw) == size {
				return raw, nil
			}
		}
	}
	if hexed != text {
		return nil, fmt.Errorf("%s: the hex has a wrong length or a wrong digit", what)
	}
	unreadable := fmt.Errorf("%s: neither PEM, hex nor base64", what)
	body := strings.TrimRight(text, "=")
	if padding := len(text) - len(body); padding > 2 || (padding > 0 && len(text)%4 != 0) {
		return nil, unreadable
	}
	if strings.ContainsAny(body, "+/") && strings.ContainsAny(body, "-_") || strings.ContainsAny(body, "\r\n") {
		return nil, unreadable
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(body)
	raw, err := base64.RawStdEncoding.Strict().DecodeString(standard)
	if err != nil {
		return nil, unreadable
	}
	for _, size := range sizes {
		if len(raw) == size {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("%s: %d bytes is no key's length", what, len(raw))
}
