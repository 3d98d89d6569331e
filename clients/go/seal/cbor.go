package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// depthMax counts levels below the outermost map.
const depthMax = 128

// EncodeCBOR writes one value in deterministic CBOR (RFC 8949 section 4.2.1). The bytes may never change.
func EncodeCBOR(value any) ([]byte, error) {
	return appendValue(nil, value, 0)
}

// DecodeCBOR reads one value that fills data; with padded, zero bytes may follow it. It refuses whatever EncodeCBOR
// would not have written.
func DecodeCBOR(data []byte, padded bool) (any, error) {
	r := reader{data: data}
	value, err := r.value(0)
	if err != nil {
		return nil, err
	}
	for _, b := range data[r.at:] {
		if !padded || b != 0 {
			return nil, errors.New("cbor: bytes follow the value")
		}
	}
	return value, nil
}

func appendHead(out []byte, major byte, argument uint64) []byte {
	major <<= 5
	switch {
	case argument < 24:
		return append(out, major|byte(argument))
	case argument <= math.MaxUint8:
		return append(out, major|24, byte(argument))
	case argument <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(argument))
	case argument <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(argument))
	default:
		return binary.BigEndian.AppendUint64(append(out, major|27), argument)
	}
}

func appendText(out []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("payload: a text is not valid UTF-8")
	}
	return append(appendHead(out, 3, uint64(len(text))), text...), nil
}

func appendInteger(out []byte, value int64) []byte {
	if value >= 0 {
		return appendHead(out, 0, uint64(value))
	}
	return appendHead(out, 1, uint64(-1-value))
}

// appendFloat takes the shortest of half, single and double that keeps the value.
func appendFloat(out []byte, value float64) []byte {
	if value != value {
		return append(out, 0xf9, 0x7e, 0x00)
	}
	single := float32(value)
	if float64(single) != value {
		return binary.BigEndian.AppendUint64(append(out, 0xfb), math.Float64bits(value))
	}
	if half, ok := halfOf(math.Float32bits(single)); ok {
		return binary.BigEndian.AppendUint16(append(out, 0xf9), half)
	}
	return binary.BigEndian.AppendUint32(append(out, 0xfa), math.Float32bits(single))
}

// halfOf converts a binary32 that is not NaN to binary16 when nothing is lost.
func halfOf(single uint32) (uint16, bool) {
	sign := uint16(single>>16) & 0x8000
	exponent := int(single>>23&0xff) - 127
	fraction := single & 0x7fffff
	switch {
	case exponent == 128:
		return sign | 0x7c00, true
	case exponent == -127:
		return sign, fraction == 0
	case exponent >= -14 && exponent <= 15:
		return sign | uint16(exponent+15)<<10 | uint16(fraction>>13), fraction&0x1fff == 0
	case exponent >= -24 && exponent < -14:
		shift := uint(-exponent - 1)
		whole := fraction | 0x800000
		return sign | uint16(whole>>shift), whole&(1<<shift-1) == 0
	default:
		return 0, false
	}
}

func appendValue(out []byte, value any, depth int) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(out, 0xf6), nil
	case bool:
		if v {
			return append(out, 0xf5), nil
		}
		return append(out, 0xf4), nil
	case string:
		return appendText(out, v)
	case int64:
		return appendInteger(out, v), nil
	case float64:
		return appendFloat(out, v), nil
	case []any:
		if depth > depthMax {
			return nil, errDepth
		}
		out = appendHead(out, 4, uint64(len(v)))
		var err error
		for _, item := range v {
			if out, err = appendValue(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		return appendMap(out, v, depth)
	case int:
		return appendInteger(out, int64(v)), nil
	case int32:
		return appendInteger(out, int64(v)), nil
	case int16:
		return appendInteger(out, int64(v)), nil
	case int8:
		return appendInteger(out, int64(v)), nil
	case uint8:
		return appendInteger(out, int64(v)), nil
	case uint16:
		return appendInteger(out, int64(v)), nil
	case uint32:
		return appendInteger(out, int64(v)), nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, errInteger
		}
		return appendInteger(out, int64(v)), nil
	case uint:
		if uint64(v) > math.MaxInt64 {
			return nil, errInteger
		}
		return appendInteger(out, int64(v)), nil
	case float32:
		return appendFloat(out, float64(v)), nil
	case []string:
		out = appendHead(out, 4, uint64(len(v)))
		var err error
		for _, item := range v {
			if out, err = appendText(out, item); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return nil, fmt.Errorf("payload: a value of type %T has no place in a payload", value)
	}
}

var (
	errDepth   = fmt.Errorf("payload: nested deeper than %d levels", depthMax)
	errInteger = errors.New("payload: an integer is outside of 64 bits")
	errCut     = errors.New("cbor: the value is cut off")
)

func appendMap(out []byte, value map[string]any, depth int) ([]byte, error) {
	if depth > depthMax {
		return nil, errDepth
	}
	keys := make([]string, 0, len(value))
	for key := range value {
		keys = append(keys, key)
	}
	// Bytewise order of the encodings: the head holds the length, so shorter keys come first.
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return bytes.Compare([]byte(a), []byte(b))
	})
	out = appendHead(out, 5, uint64(len(keys)))
	var err error
	for _, key := range keys {
		if out, err = appendText(out, key); err != nil {
			return nil, err
		}
		if out, err = appendValue(out, value[key], depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type reader struct {
	data []byte
	at   int
}

func (r *reader) head() (major, info byte, argument uint64, err error) {
	if r.at >= len(r.data) {
		return 0, 0, 0, errCut
	}
	first := r.data[r.at]
	major, info = first>>5, first&31
	r.at++
	if info < 24 {
		return major, info, uint64(info), nil
	}
	if info > 27 {
		return 0, 0, 0, errors.New("cbor: indefinite lengths are not allowed")
	}
	size := 1 << (info - 24)
	if size > len(r.data)-r.at {
		return 0, 0, 0, errCut
	}
	for _, b := range r.data[r.at : r.at+size] {
		argument = argument<<8 | uint64(b)
	}
	r.at += size
	if major != 7 && argument < [4]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24] {
		return 0, 0, 0, errors.New("cbor: a length is not in its shortest form")
	}
	return major, info, argument, nil
}

func (r *reader) text(length uint64) (string, error) {
	if length > uint64(len(r.data)-r.at) {
		return "", errCut
	}
	raw := r.data[r.at : r.at+int(length)]
	if !utf8.Valid(raw) {
		return "", errors.New("cbor: a text is not valid UTF-8")
	}
	r.at += int(length)
	return string(raw), nil
}

func (r *reader) value(depth int) (any, error) {
	start := r.at
	major, info, argument, err := r.head()
	if err != nil {
		return nil, err
	}
	switch major {
	case 0, 1:
		if argument > math.MaxInt64 {
			return nil, errInteger
		}
		if major == 1 {
			return -1 - int64(argument), nil
		}
		return int64(argument), nil
	case 3:
		return r.text(argument)
	case 4:
		if depth > depthMax {
			return nil, errDepth
		}
		// Every item takes a byte at least: a wild length is refused before anything is built.
		if argument > uint64(len(r.data)-r.at) {
			return nil, errCut
		}
		items := make([]any, 0, argument)
		for range argument {
			item, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		return items, nil
	case 5:
		return r.mapping(argument, depth)
	case 7:
		switch info {
		case 20:
			return false, nil
		case 21:
			return true, nil
		case 22:
			return nil, nil
		case 25, 26, 27:
			value := floatOf(info, argument)
			if !bytes.Equal(appendFloat(nil, value), r.data[start:r.at]) {
				return nil, errors.New("cbor: a float is not in its shortest form")
			}
			return value, nil
		}
		return nil, errors.New("cbor: a simple value is not allowed")
	}
	return nil, errors.New("cbor: a byte string or a tag is not allowed")
}

func (r *reader) mapping(count uint64, depth int) (any, error) {
	if depth > depthMax {
		return nil, errDepth
	}
	if count > uint64(len(r.data)-r.at)/2 {
		return nil, errCut
	}
	result := make(map[string]any, count)
	var previous []byte
	for range count {
		start := r.at
		major, _, length, err := r.head()
		if err != nil {
			return nil, err
		}
		if major != 3 {
			return nil, errors.New("cbor: a map's key is not a text")
		}
		key, err := r.text(length)
		if err != nil {
			return nil, err
		}
		encoded := r.data[start:r.at]
		if previous != nil && bytes.Compare(encoded, previous) <= 0 {
			return nil, errors.New("cbor: a map's keys are doubled or out of order")
		}
		previous = encoded
		if result[key], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func floatOf(info byte, argument uint64) float64 {
	switch info {
	case 27:
		return math.Float64frombits(argument)
	case 26:
		return float64(math.Float32frombits(uint32(argument)))
	}
	sign := 1.0
	if argument&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(argument>>10&0x1f), float64(argument&0x3ff)
	switch {
	case exponent == 31 && fraction != 0:
		return math.NaN()
	case exponent == 31:
		return math.Inf(int(sign))
	case exponent == 0:
		return math.Copysign(math.Ldexp(fraction, -24), sign)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// PadmeLength is the Padme bucket (arXiv 1806.03160) of a length.
func PadmeLength(length int) int {
	if length < 2 {
		return length
	}
	exponent := bits.Len(uint(length)) - 1
	stepBits := exponent - bits.Len(uint(exponent))
	if stepBits <= 0 {
		return length
	}
	mask := 1<<stepBits - 1
	return (length + mask) &^ mask
}
