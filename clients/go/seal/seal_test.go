package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"math"
	mathrand "math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"sealpoint.dev/go/seal"
)

func newKey(t testing.TB) *seal.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newID(t testing.TB) (id seal.SealingID) {
	t.Helper()
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestCBORBytes(t *testing.T) {
	for want, value := range map[string]any{
		"00": 0, "17": 23, "1818": 24, "190100": 256, "1a00010000": 65536, "1b0000000100000000": int64(1) << 32, "20": -1,
		"3818": -25, "3b7fffffffffffffff": int64(math.MinInt64), "1b7fffffffffffffff": int64(math.MaxInt64),
		"f93c00": 1.0, "f98000": math.Copysign(0, -1), "fb3ff199999999999a": 1.1, "fa47c35000": 100000.0, "f97bff": 65504.0,
		"f90001": math.Ldexp(1, -24), "fa33000000": math.Ldexp(1, -25), "f97e00": math.NaN(), "f97c00": math.Inf(1), "f9fc00": math.Inf(-1),
		"fb7e37e43c8800759c": 1.0e+300, "f6": nil, "f5": true, "f4": false, "62c3a9": "é", "80": []any{}, "a0": map[string]any{},
		"a361620261631903e862616101": map[string]any{"aa": 1, "b": 2, "c": 1000},
	} {
		got, err := seal.EncodeCBOR(value)
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%v: %x, %v; want %s", value, got, err, want)
		}
		if _, err := seal.DecodeCBOR(got, false); err != nil {
			t.Errorf("%v: cannot be read again: %v", value, err)
		}
	}
}

func TestCBORRefusesWhatIsNotDeterministic(t *testing.T) {
	for name, text := range map[string]string{
		"long integer": "1800", "long text": "780161", "indefinite list": "9fff", "indefinite text": "7f6161ff", "tag": "c000",
		"bytes": "4100", "undefined": "f7", "wide float": "fa3f800000", "wide double": "fb3ff0000000000000", "other NaN": "f97e01",
		"doubled key": "a2616101616102", "unsorted keys": "a2616201616102", "longer key first": "a262616101616202", "number key": "a10101",
		"cut text": "6261", "cut list": "8201", "huge list": "9bffffffffffffffff", "huge map": "bb7fffffffffffffff", "bad UTF-8": "61ff",
		"beyond int64": "1b8000000000000000", "trailing": "0001", "empty": "", "reserved": "1c",
	} {
		raw, _ := hex.DecodeString(text)
		if value, err := seal.DecodeCBOR(raw, true); err == nil {
			t.Errorf("%s: read as %v", name, value)
		}
	}
	if _, err := seal.EncodeCBOR(uint64(math.MaxUint64)); err == nil {
		t.Error("an integer beyond int64 was written")
	}
	if _, err := seal.EncodeCBOR("\xff"); err == nil {
		t.Error("bad UTF-8 was written")
	}
	if _, err := seal.EncodeCBOR(time.Now()); err == nil {
		t.Error("a time was written")
	}
}

func TestCBORDepth(t *testing.T) {
	nest := func(levels int) any {
		var value any = map[string]any{}
		for range levels {
			value = []any{value}
		}
		return value
	}
	raw, err := seal.EncodeCBOR(nest(128))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.DecodeCBOR(raw, false); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.EncodeCBOR(nest(129)); err == nil {
		t.Error("129 levels were written")
	}
	if _, err := seal.DecodeCBOR(append([]byte{0x81}, raw...), false); err == nil {
		t.Error("129 levels were read")
	}
	if _, err := seal.DecodeCBOR(bytes.Repeat([]byte{0x81}, 1<<20), false); err == nil {
		t.Error("a million levels were read")
	}
}

func randomValue(r *mathrand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return int64(r.Uint64()) >> r.IntN(64)
	case n == 3:
		return math.Ldexp(float64(int64(r.Uint64())>>r.IntN(64)), r.IntN(200)-150)
	case n <= 5 || depth > 4:
		return string([]rune{rune(r.IntN(0xd000)), rune(0x10000 + r.IntN(0x1000))}[:r.IntN(3)])
	case n == 6:
		list := []any{}
		for range r.IntN(5) {
			list = append(list, randomValue(r, depth+1))
		}
		return list
	default:
		return randomMap(r, depth+1)
	}
}

func randomMap(r *mathrand.Rand, depth int) map[string]any {
	out := map[string]any{}
	for range r.IntN(6) {
		out[strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(30))] = randomValue(r, depth)
	}
	return out
}

func TestSealAndOpenRandomPayloads(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	key, id := newKey(t), newID(t)
	opener, _ := seal.NewOpener(key)
	batch, _ := seal.NewBatch(id, seal.Options{Padding: true, ClearFields: []string{"clear"}})
	for range 500 {
		payload := randomMap(r, 0)
		payload["clear"] = int64(1)
		point := seal.Num(r.Uint64())
		sealed, err := batch.SealPayload(key.Public(), point, payload)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != 2 || sealed["clear"] != int64(1) {
			t.Fatalf("stands beside the envelope: %v", sealed)
		}
		opened, err := opener.OpenPayload(sealed, point, id)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(opened, payload) {
			t.Fatalf("%v came back as %v", payload, opened)
		}
	}
}

func TestOpeningFailsWithOneText(t *testing.T) {
	key, other, id, foreign := newKey(t), newKey(t), newID(t), newID(t)
	point := seal.Num(7)
	context, _ := seal.NewContext(key.Public())
	e, err := context.Seal(id, point, map[string]any{"a": 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	opener, _ := seal.NewOpener(key)
	if _, err := opener.Open(e, point, foreign, id); err != nil {
		t.Fatalf("the untouched envelope: %v", err)
	}
	try := func(name string, o *seal.Opener, change func(*seal.Envelope), at seal.PointID, accepted ...seal.SealingID) {
		changed := *e
		changed.Ciphertext = bytes.Clone(e.Ciphertext)
		change(&changed)
		if _, err := o.Open(&changed, at, accepted...); !errors.Is(err, seal.ErrOpen) || err.Error() != "cannot open the seal" {
			t.Errorf("%s: %v", name, err)
		}
	}
	nothing := func(*seal.Envelope) {}
	stranger, _ := seal.NewOpener(other)
	uuid, _ := seal.UUID("550e8400-e29b-41d4-a716-446655440000")
	try("wrong key", stranger, nothing, point, id)
	try("wrong key under our kid", stranger, func(e *seal.Envelope) { e.KID = other.Public().KID() }, point, id)
	try("another point", opener, nothing, seal.Num(8), id)
	try("a UUID", opener, nothing, uuid, id)
	try("another collection", opener, nothing, point, foreign)
	try("moved collection", opener, func(e *seal.Envelope) { e.SealingID = foreign }, point, foreign)
	try("no collection", opener, nothing, point)
	try("ciphertext", opener, func(e *seal.Envelope) { e.Ciphertext[0] ^= 1 }, point, id)
	try("tag", opener, func(e *seal.Envelope) { e.Tag[0] ^= 1 }, point, id)
	try("nonce", opener, func(e *seal.Envelope) { e.Nonce[0] ^= 1 }, point, id)
	try("enc off the curve", opener, func(e *seal.Envelope) { e.Enc[64] ^= 1 }, point, id)
	try("another enc", opener, func(e *seal.Envelope) { copy(e.Enc[:], other.Public().Point()) }, point, id)
}

func TestEphemeralKeys(t *testing.T) {
	key, id := newKey(t), newID(t)
	for _, fresh := range []bool{false, true} {
		batch, _ := seal.NewBatch(id, seal.Options{FreshEphemeral: fresh})
		a, _ := batch.Seal(key.Public(), seal.Num(1), map[string]any{})
		b, _ := batch.Seal(key.Public(), seal.Num(2), map[string]any{})
		if (a.Enc == b.Enc) == fresh {
			t.Errorf("fresh %v: equal ephemeral keys %v", fresh, a.Enc == b.Enc)
		}
		if a.Nonce == b.Nonce || bytes.Equal(a.Ciphertext, b.Ciphertext) && a.Tag == b.Tag {
			t.Error("two points share a key or a nonce")
		}
	}
}

func TestEnvelopesMergeInOrder(t *testing.T) {
	key, id, point := newKey(t), newID(t), seal.Num(1)
	context, _ := seal.NewContext(key.Public())
	a, _ := context.Seal(id, point, map[string]any{"x": 1, "y": 1}, false)
	b, _ := context.Seal(id, point, map[string]any{"y": 2, "z": 2}, false)
	opener, _ := seal.NewOpener(key)
	got, err := opener.OpenPayload(map[string]any{"z": int64(0), "w": "clear", seal.SealedKey: []any{a.Map(), b.Map()}}, point, id)
	want := map[string]any{"x": int64(1), "y": int64(2), "z": int64(2), "w": "clear"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestEnvelopeFormIsStrict(t *testing.T) {
	key, id := newKey(t), newID(t)
	context, _ := seal.NewContext(key.Public())
	e, _ := context.Seal(id, seal.Num(1), map[string]any{"a": "b"}, false)
	again, err := seal.EnvelopeFromBytes(e.Bytes())
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Fatalf("binary form: %v", err)
	}
	if again, err = seal.EnvelopeFromMap(e.Map()); err != nil || !reflect.DeepEqual(again, e) {
		t.Fatalf("JSON form: %v", err)
	}
	for name, change := range map[string]func(map[string]any){
		"unknown key":      func(m map[string]any) { m["more"] = int64(1) },
		"missing nonce":    func(m map[string]any) { delete(m, "nonce") },
		"version 2":        func(m map[string]any) { m["version"] = int64(2) },
		"version 1.0":      func(m map[string]any) { m["version"] = 1.0 },
		"algorithm":        func(m map[string]any) { m["algorithm"] = "HPKE" },
		"padded base64":    func(m map[string]any) { m["nonce"] = m["nonce"].(string) + "=" },
		"newline":          func(m map[string]any) { m["nonce"] = m["nonce"].(string) + "\n" },
		"standard base64":  func(m map[string]any) { m["kid"] = "++++++++++8" },
		"not canonical":    func(m map[string]any) { m["kid"] = "AAAAAAAAAAB" },
		"short tag":        func(m map[string]any) { m["tag"] = "AAAA" },
		"number for text":  func(m map[string]any) { m["tag"] = int64(1) },
		"empty ciphertext": func(m map[string]any) { m["encrypted_data"] = "" },
	} {
		m := e.Map()
		change(m)
		if _, err := seal.EnvelopeFromMap(m); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, count := range []int{0, 9} {
		list := make([]any, count)
		for i := range list {
			list[i] = e.Map()
		}
		if _, err := seal.ParseEnvelopes(list); err == nil {
			t.Errorf("a list of %d envelopes was taken", count)
		}
	}
}

func TestReservedKeyIsRefused(t *testing.T) {
	key, id := newKey(t), newID(t)
	payload := map[string]any{seal.SealedKey: "x"}
	if _, err := seal.SealPayload(key.Public(), id, seal.Num(1), payload, seal.Options{}); err == nil {
		t.Error("the reserved key was sealed")
	}
	if _, err := seal.NewBatch(id, seal.Options{ClearFields: []string{seal.SealedKey}}); err == nil {
		t.Error("the reserved key was a clear field")
	}
}

func TestKeyFormats(t *testing.T) {
	key := newKey(t)
	public := key.Public()
	point := public.Point()
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	for _, text := range keyTexts(public, point, compressed) {
		got, err := seal.ParsePublicKey(text)
		if err != nil || !got.Equal(public) || got.KID() != public.KID() {
			t.Errorf("%q: %v", text, err)
		}
	}
	off := bytes.Clone(point)
	off[64] ^= 1
	for _, text := range []string{
		"", " ", "hello", hex.EncodeToString(point[1:33]), hex.EncodeToString(off), "0x" + hex.EncodeToString(point[:64]), strings.Repeat("a", 1025),
		"00", hex.EncodeToString(make([]byte, 65)), "04" + strings.Repeat("00", 64), hex.EncodeToString(point) + "zz",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", strings.ReplaceAll(public.PEM(), "PUBLIC", "PRIVATE"),
	} {
		if _, err := seal.ParsePublicKey(text); err == nil {
			t.Errorf("%q was taken", text)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[:20]) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.ParsePrivateKey(pem)
	if err != nil || !again.Public().Equal(public) {
		t.Errorf("PKCS#8: %v", err)
	}
	for _, text := range []string{"", strings.Repeat("00", 32), strings.Repeat("ff", 32), strings.Repeat("11", 31), public.PEM(), "nonsense"} {
		if _, err := seal.ParsePrivateKey(text); err == nil {
			t.Errorf("private key %q was taken", text)
		}
	}
}

func BenchmarkSealBatch(b *testing.B) {
	key, id := newKey(b), newID(b)
	batch, _ := seal.NewBatch(id, seal.Options{})
	payload := map[string]any{"text": strings.Repeat("x", 800), "n": 1, "lemma": "dog", "pos": "n"}
	for i := 0; b.Loop(); i++ {
		if _, err := batch.SealPayload(key.Public(), seal.Num(uint64(i)), payload); err != nil {
			b.Fatal(err)
		}
	}
}
