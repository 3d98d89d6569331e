package seal_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"sealpoint.dev/go/seal"
)

const vectorsDir = "../../../test/vectors"

type vectorFile struct {
	Producer      string       `json:"producer"`
	PrivateKey    string       `json:"private_key"`
	PrivateKeyPEM string       `json:"private_key_pem"`
	PublicKey     string       `json:"public_key"`
	SealingID     string       `json:"sealing_id"`
	Cases         []vectorCase `json:"cases"`
}

type vectorCase struct {
	Name      string           `json:"name"`
	ID        map[string]any   `json:"id"`
	Payload   map[string]any   `json:"payload"`
	Clear     map[string]any   `json:"clear"`
	Padding   bool             `json:"padding"`
	Envelopes []map[string]any `json:"envelopes"`
	Binary    []string         `json:"binary"`
	Plaintext []string         `json:"plaintext"`
}

func keyTexts(public *seal.PublicKey, point, compressed []byte) []string {
	spki := bytes.Join([][]byte{mustHex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), point}, nil)
	short := bytes.Join([][]byte{mustHex("3039301306072a8648ce3d020106082a8648ce3d030107032200"), compressed}, nil)
	texts := []string{public.PEM(), "\n" + public.PEM() + " "}
	for _, raw := range [][]byte{point, compressed, spki, short} {
		texts = append(texts, hex.EncodeToString(raw), "0x"+strings.ToUpper(hex.EncodeToString(raw)), base64.StdEncoding.EncodeToString(raw),
			base64.RawStdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	return texts
}

func mustHex(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return raw
}

// fromProtoJSON reads JSON of protobuf's qdrant.Value.
func fromProtoJSON(value any) any {
	for kind, inner := range value.(map[string]any) {
		switch kind {
		case "integerValue":
			n, err := strconv.ParseInt(fmt.Sprint(inner), 10, 64)
			if err != nil {
				panic(err)
			}
			return n
		case "doubleValue":
			// Text where JSON's numbers do not reach: NaN, infinities, -0.
			f, err := strconv.ParseFloat(fmt.Sprint(inner), 64)
			if err != nil {
				panic(err)
			}
			return f
		case "listValue":
			list := []any{}
			items, _ := inner.(map[string]any)["values"].([]any)
			for _, item := range items {
				list = append(list, fromProtoJSON(item))
			}
			return list
		case "structValue":
			fields, _ := inner.(map[string]any)["fields"].(map[string]any)
			return mapFromProtoJSON(fields)
		case "nullValue":
			return nil
		default:
			return inner
		}
	}
	return nil
}

func mapFromProtoJSON(fields map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range fields {
		out[key] = fromProtoJSON(value)
	}
	return out
}

func pointOf(t *testing.T, id map[string]any) seal.PointID {
	t.Helper()
	if text, ok := id["uuid"].(string); ok {
		point, err := seal.UUID(text)
		if err != nil {
			t.Fatal(err)
		}
		return point
	}
	n, err := strconv.ParseUint(id["num"].(string), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seal.Num(n)
}

func readVectors(t *testing.T, path string) vectorFile {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var file vectorFile
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

// sameBytes compares by deterministic CBOR, in which NaN equals itself and 1 and 1.0 differ.
func sameBytes(t *testing.T, a, b map[string]any) bool {
	t.Helper()
	first, err := seal.EncodeCBOR(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := seal.EncodeCBOR(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(first, second)
}

// TestVectors opens what every language sealed.
func TestVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectorsDir, "sealing-v1-*.json"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("sealing vectors of three languages are expected, found %v %v", paths, err)
	}
	for _, path := range paths {
		file := readVectors(t, path)
		id, err := seal.SealingIDFrom(mustHex(file.SealingID))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{file.PrivateKey, file.PrivateKeyPEM} {
			key, err := seal.ParsePrivateKey(text)
			if err != nil {
				t.Fatal(err)
			}
			public, err := seal.ParsePublicKey(file.PublicKey)
			if err != nil || !public.Equal(key.Public()) {
				t.Fatalf("%s: the keys do not belong together: %v", file.Producer, err)
			}
			opener, _ := seal.NewOpener(key)
			for _, c := range file.Cases {
				t.Run(file.Producer+"/"+c.Name, func(t *testing.T) { openCase(t, opener, id, c) })
			}
		}
	}
}

func openCase(t *testing.T, opener *seal.Opener, id seal.SealingID, c vectorCase) {
	point := pointOf(t, c.ID)
	stored := mapFromProtoJSON(c.Clear)
	list := []any{}
	for i, object := range c.Envelopes {
		if version, err := object["version"].(json.Number).Int64(); err == nil {
			object = cloneWith(object, version)
		}
		list = append(list, object)
		e, err := seal.EnvelopeFromMap(object)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(e.Bytes()) != c.Binary[i] {
			t.Error("the binary form differs")
		}
		plaintext, err := seal.DecodeCBOR(mustHex(c.Plaintext[i]), c.Padding)
		if err != nil {
			t.Fatal(err)
		}
		again, err := seal.EncodeCBOR(plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if c.Padding {
			again = append(again, make([]byte, seal.PadmeLength(len(again))-len(again))...)
		}
		if hex.EncodeToString(again) != c.Plaintext[i] {
			t.Errorf("the plaintext is written as %x, not %s", again, c.Plaintext[i])
		}
	}
	stored[seal.SealedKey] = list
	opened, err := opener.OpenPayload(stored, point, id)
	if err != nil {
		t.Fatal(err)
	}
	if want := mapFromProtoJSON(c.Payload); !sameBytes(t, opened, want) {
		t.Errorf("opened %v, want %v", opened, want)
	}
	if _, err := opener.OpenPayload(stored, seal.Num(99999), id); err == nil {
		t.Error("opened as another point's")
	}
}

func cloneWith(object map[string]any, version int64) map[string]any {
	out := map[string]any{"version": version}
	for key, value := range object {
		if key != "version" {
			out[key] = value
		}
	}
	return out
}

// TestWriteVectors writes Go's own file anew: SEALPOINT_WRITE_VECTORS=1 go test ./seal -run TestWriteVectors
func TestWriteVectors(t *testing.T) {
	if os.Getenv("SEALPOINT_WRITE_VECTORS") == "" {
		t.Skip("SEALPOINT_WRITE_VECTORS is not set: the stored vectors stay")
	}
	// The cases are those of TypeScript, sealed here under a key of our own.
	file := readVectors(t, filepath.Join(vectorsDir, "sealing-v1-typescript.json"))
	scalar, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParsePrivateKey(hex.EncodeToString(scalar.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	id := newID(t)
	pem, _ := key.PEM()
	spki := append(mustHex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), key.Public().Point()...)
	file.Producer, file.PrivateKey, file.PrivateKeyPEM = "go", hex.EncodeToString(scalar.Bytes()), pem
	file.PublicKey, file.SealingID = base64.StdEncoding.EncodeToString(spki), hex.EncodeToString(id[:])
	context, _ := seal.NewContext(key.Public())
	for i := range file.Cases {
		c := &file.Cases[i]
		c.Envelopes, c.Binary = nil, nil
		for _, plaintext := range c.Plaintext {
			value, err := seal.DecodeCBOR(mustHex(plaintext), c.Padding)
			if err != nil {
				t.Fatal(err)
			}
			e, err := context.Seal(id, pointOf(t, c.ID), value.(map[string]any), c.Padding)
			if err != nil {
				t.Fatal(err)
			}
			c.Envelopes = append(c.Envelopes, e.Map())
			c.Binary = append(c.Binary, hex.EncodeToString(e.Bytes()))
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorsDir, "sealing-v1-go.json"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRFC9180 checks the standard library's exporter, on which sealing stands, against RFC 9180's vectors of this suite.
func TestRFC9180(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(vectorsDir, "rfc9180.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Mode    int    `json:"mode"`
		KEM     int    `json:"kem_id"`
		KDF     int    `json:"kdf_id"`
		AEAD    int    `json:"aead_id"`
		Info    string `json:"info"`
		Private string `json:"skRm"`
		Enc     string `json:"enc"`
		Exports string `json:"exports_accumulated"`
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, v := range vectors {
		if v.Mode != 0 || v.KEM != 0x10 || v.KDF != 1 || v.AEAD != 2 {
			continue
		}
		seen++
		scalar, err := ecdh.P256().NewPrivateKey(mustHex(v.Private))
		if err != nil {
			t.Fatal(err)
		}
		key, err := hpke.NewDHKEMPrivateKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		r, err := hpke.NewRecipient(mustHex(v.Enc), key, hpke.HKDFSHA256(), hpke.AES256GCM(), mustHex(v.Info))
		if err != nil {
			t.Fatal(err)
		}
		source, sink := sha3.NewSHAKE128(), sha3.NewSHAKE128()
		for length := range 1000 {
			size := make([]byte, 1)
			_, _ = source.Read(size)
			context := make([]byte, size[0])
			_, _ = source.Read(context)
			value, err := r.Export(string(context), length)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = sink.Write(value)
		}
		sum := make([]byte, 16)
		_, _ = sink.Read(sum)
		if !reflect.DeepEqual(hex.EncodeToString(sum), v.Exports) {
			t.Errorf("exports %x, want %s", sum, v.Exports)
		}
	}
	if seen == 0 {
		t.Error("the file holds no vector of this suite")
	}
}
