package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/qdrant/go-client/qdrant"
)

const dimensions = 384

type document struct {
	ID      uint64 `json:"id"`
	Word    string `json:"word"`
	Pos     string `json:"pos"`
	Lexname string `json:"lexname"`
	Gloss   string `json:"gloss"`
	Words   int64  `json:"n_words"`
}

type dataFilter struct {
	Name  string `json:"name"`
	Where struct {
		Field string `json:"field"`
		Op    string `json:"op"`
		Value any    `json:"value"`
	} `json:"where"`
	Matching    int        `json:"matching"`
	Selectivity float64    `json:"selectivity"`
	Top10       [][]uint64 `json:"top10"`
}

func halfToFloat(bits uint16) float32 {
	sign := float64(1)
	if bits&0x8000 != 0 {
		sign = -1
	}
	exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)
	if exponent == 0 {
		return float32(sign * math.Ldexp(fraction, -24))
	}
	return float32(sign * math.Ldexp(1+fraction/1024, exponent-15))
}

func readVectors(path string) ([][]float32, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, len(raw)/2/dimensions)
	for r := range rows {
		row := make([]float32, dimensions)
		for d := range row {
			row[d] = halfToFloat(binary.LittleEndian.Uint16(raw[(r*dimensions+d)*2:]))
		}
		rows[r] = row
	}
	return rows, nil
}

func readDocuments(path string, limit int) ([]document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var documents []document
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(documents) < limit {
		var d document
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
	return documents, lines.Err()
}

// readPoints builds the points before anything is timed; encoding them is part of the client's work and stays in.
func readPoints(o options) ([]*qdrant.PointStruct, error) {
	vectors, err := readVectors(filepath.Join(o.data, "vectors.f16"))
	if err != nil {
		return nil, err
	}
	documents, err := readDocuments(filepath.Join(o.data, "payloads.jsonl.gz"), orDefault(o.documents, len(vectors)))
	if err != nil {
		return nil, err
	}
	points := make([]*qdrant.PointStruct, len(documents))
	for i, d := range documents {
		payload, err := qdrant.TryValueMap(map[string]any{
			"word": d.Word, "pos": d.Pos, "lexname": d.Lexname, "gloss": d.Gloss, "n_words": d.Words,
		})
		if err != nil {
			return nil, err
		}
		points[i] = &qdrant.PointStruct{Id: qdrant.NewIDNum(d.ID), Vectors: qdrant.NewVectors(vectors[d.ID]...), Payload: payload}
	}
	return points, nil
}

// answers of the slice in the repository, which has no neighbors.u32.
type sliceAnswers struct {
	Top10   [][]uint64   `json:"top10"`
	Filters []dataFilter `json:"filters"`
}

func readAnswers(o options) (top10 [][]uint64, filters []dataFilter, err error) {
	raw, err := os.ReadFile(filepath.Join(o.data, "neighbors.u32"))
	if errors.Is(err, fs.ErrNotExist) {
		var answers sliceAnswers
		if err := readJSON(filepath.Join(o.data, "answers.json"), &answers); err != nil {
			return nil, nil, err
		}
		return answers.Top10, answers.Filters, nil
	}
	if err != nil {
		return nil, nil, err
	}
	top10 = make([][]uint64, len(raw)/400)
	for q := range top10 {
		for k := range 10 {
			top10[q] = append(top10[q], uint64(binary.LittleEndian.Uint32(raw[q*400+k*4:])))
		}
	}
	var file struct {
		Filters []dataFilter `json:"filters"`
	}
	if err := readJSON(filepath.Join(o.data, "filters.json"), &file); err != nil {
		return nil, nil, err
	}
	return top10, file.Filters, nil
}

func readJSON(path string, target any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, target)
}

func (f dataFilter) build() (*qdrant.Filter, error) {
	switch value := f.Where.Value.(type) {
	case string:
		return &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchKeyword(f.Where.Field, value)}}, nil
	case float64:
		if strings.EqualFold(f.Where.Op, "lte") {
			bounds := &qdrant.Range{Lte: qdrant.PtrOf(value)}
			return &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewRange(f.Where.Field, bounds)}}, nil
		}
	}
	return nil, fmt.Errorf("filter %s: unknown form", f.Name)
}
