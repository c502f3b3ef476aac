// Command auditor checks an exported Sealgate log with Go's own packages for transparency logs, and with nothing of
// Sealgate's. LOG is a directory in the form of C2SP tlog-tiles. KEYS has the log's keys, one a line: a C2SP verifier key,
// the smallest size of a checkpoint that it may sign, and the largest, which is left out for the key in force.
//
//	auditor log KEYS LOG                 the checkpoint's signature, every entry, every tile and the root
//	auditor entry KEYS LOG INDEX         one entry's inclusion, from the tiles on its path only
//	auditor extends KEYS LOG CHECKPOINT  the log is an extension of the one that CHECKPOINT was made of
//	auditor proof KEYS FILE              a C2SP tlog-proof that carries its entry
//
// `entry` and `proof` print the entry that they found included.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8 // C2SP tlog-tiles: a tile is 256 hashes wide
	width  = 1 << height
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "auditor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: auditor log|entry|extends|proof KEYS LOG|FILE [INDEX|CHECKPOINT]")
	}
	keys, err := readKeys(args[1])
	if err != nil {
		return err
	}
	if args[0] == "proof" && len(args) == 3 {
		return proof(keys, args[2])
	}
	tree, err := checkpoint(keys, filepath.Join(args[2], "checkpoint"))
	if err != nil {
		return err
	}
	log := exported{args[2], tree}
	switch {
	case args[0] == "log" && len(args) == 3:
		return log.whole()
	case args[0] == "entry" && len(args) == 4:
		return log.included(args[3])
	case args[0] == "extends" && len(args) == 4:
		old, err := checkpoint(keys, args[3])
		if err != nil {
			return err
		}
		return log.extends(old)
	}
	return fmt.Errorf("no such check: %q", args)
}

// logKeys are verifiers of the log's notes, and for which sizes each counts.
type logKeys struct {
	note.Verifiers
	periods map[uint32]period
}

// period is the sizes from first to last, both included.
type period struct{ first, last int64 }

// readKeys reads KEYS.
func readKeys(path string) (logKeys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return logKeys{}, err
	}
	var verifiers []note.Verifier
	keys := logKeys{periods: map[uint32]period{}}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		encoded, sizes, _ := strings.Cut(line, " ")
		verifier, err := note.NewVerifier(encoded)
		if err != nil {
			return logKeys{}, fmt.Errorf("%s: %w", path, err)
		}
		valid := period{last: math.MaxInt64}
		if found, err := fmt.Sscan(sizes, &valid.first, &valid.last); found == 0 {
			return logKeys{}, fmt.Errorf("%s: a key without the sizes it counts for: %w", path, err)
		}
		keys.periods[verifier.KeyHash()] = valid
		verifiers = append(verifiers, verifier)
	}
	keys.Verifiers = note.VerifierList(verifiers...)
	return keys, nil
}

// checkpoint opens the signed note in a file.
func checkpoint(keys logKeys, path string) (tlog.Tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := open(keys, text)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	return tree, nil
}

// open checks a note's signature and reads the C2SP tlog-checkpoint in it: origin, size, root. A key that counts for this
// size must have signed, under the origin as its name.
func open(keys logKeys, text []byte) (tlog.Tree, error) {
	signed, err := note.Open(text, keys)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 {
		return tlog.Tree{}, errors.New("not a checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return tlog.Tree{}, errors.New("the checkpoint's size is not a number")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, err
	}
	for _, signature := range signed.Sigs {
		valid := keys.periods[signature.Hash]
		if signature.Name == lines[0] && valid.first <= size && size <= valid.last {
			return tlog.Tree{N: size, Hash: root}, nil
		}
	}
	return tlog.Tree{}, fmt.Errorf("no key of %s that counts at size %d signed it", lines[0], size)
}

// exported is a log on disk, and the tree that its checkpoint states. It implements tlog.TileReader.
type exported struct {
	dir  string
	tree tlog.Tree
}

func (log exported) Height() int { return height }

func (log exported) SaveTiles([]tlog.Tile, [][]byte) {}

func (log exported) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for place, tile := range tiles {
		data, err := os.ReadFile(log.path(tile))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", log.path(tile), len(data))
		}
		found[place] = data
	}
	return found, nil
}

// path is tlog's own, without the height and with C2SP's name for entries.
func (log exported) path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	return filepath.Join(log.dir, "tile", strings.Replace(path, "data/", "entries/", 1))
}

// bundle reads the entries below one tile of level 0.
func (log exported) bundle(tile tlog.Tile) ([][]byte, error) {
	tile.L = -1
	rest, err := os.ReadFile(log.path(tile))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s is cut", log.path(tile))
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries, rest = append(entries, rest[2:end]), rest[end:]
	}
	if len(entries) != tile.W {
		return nil, fmt.Errorf("%s has %d entries, not %d", log.path(tile), len(entries), tile.W)
	}
	return entries, nil
}

// whole makes the tree anew from the entries and compares its root with the checkpoint, and all its tiles with the files.
func (log exported) whole() error {
	var hashes memory
	tiles := tlog.NewTiles(height, 0, log.tree.N)
	for _, tile := range tiles {
		if tile.L != 0 {
			continue
		}
		entries, err := log.bundle(tile)
		if err != nil {
			return err
		}
		for place, entry := range entries {
			added, err := tlog.StoredHashes(tile.N*width+int64(place), entry, hashes)
			if err != nil {
				return err
			}
			hashes = append(hashes, added...)
		}
	}
	root, err := tlog.TreeHash(log.tree.N, hashes)
	if err != nil {
		return err
	}
	if root != log.tree.Hash {
		return fmt.Errorf("the root of the %d entries is %v, the checkpoint states %v", log.tree.N, root, log.tree.Hash)
	}
	for _, tile := range tiles {
		wanted, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return err
		}
		found, err := log.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return err
		}
		if !bytes.Equal(found[0], wanted) {
			return fmt.Errorf("%s does not hold the hashes of the entries below it", log.path(tile))
		}
	}
	fmt.Printf("OK: %d entries, %d tiles, root %v\n", log.tree.N, len(tiles), root)
	return nil
}

// memory is a tlog.HashReader over hashes in the order of their stored index.
type memory []tlog.Hash

func (hashes memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for place, index := range indexes {
		if index >= int64(len(hashes)) {
			return nil, fmt.Errorf("hash %d is not there yet", index)
		}
		found[place] = hashes[index]
	}
	return found, nil
}

// included proves one entry with hashes from the tiles, which tlog authenticates, and prints it.
func (log exported) included(number string) error {
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil || index < 0 || index >= log.tree.N {
		return fmt.Errorf("the log has entries 0 to %d, not %s", log.tree.N-1, number)
	}
	tile := tlog.Tile{H: height, N: index / width, W: int(min(width, log.tree.N-index/width*width))}
	entries, err := log.bundle(tile)
	if err != nil {
		return err
	}
	path, err := tlog.ProveRecord(log.tree.N, index, tlog.TileHashReader(log.tree, log))
	if err != nil {
		return err
	}
	entry := entries[index%width]
	return conclude(path, log.tree, index, entry)
}

// extends proves that the old tree is a prefix of this one.
func (log exported) extends(old tlog.Tree) error {
	if old.N > log.tree.N {
		return fmt.Errorf("the log has %d entries and had %d: it was cut", log.tree.N, old.N)
	}
	if old.N > 0 { // every log extends the empty one
		path, err := tlog.ProveTree(log.tree.N, old.N, tlog.TileHashReader(log.tree, log))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, log.tree.N, log.tree.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	fmt.Printf("OK: the first %d of %d entries are those of the older checkpoint\n", old.N, log.tree.N)
	return nil
}

// proof checks a C2SP tlog-proof whose extra data is the entry, and prints it.
func proof(keys logKeys, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, signed, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof with an entry")
	}
	extra, carried := strings.CutPrefix(lines[1], "extra ")
	number, numbered := strings.CutPrefix(lines[2], "index ")
	if !carried || !numbered {
		return errors.New("a tlog-proof without extra or index line")
	}
	entry, err := base64.StdEncoding.DecodeString(extra)
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	var hashes tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}
	tree, err := open(keys, []byte(signed))
	if err != nil {
		return err
	}
	return conclude(hashes, tree, index, entry)
}

// conclude checks an inclusion proof and prints the entry it is of.
func conclude(path tlog.RecordProof, tree tlog.Tree, index int64, entry []byte) error {
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "OK: entry %d of %d\n", index, tree.N)
	_, err := os.Stdout.Write(entry)
	return err
}
