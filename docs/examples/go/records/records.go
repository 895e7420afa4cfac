// Package records finds the Avro schemas and the variables that all examples take.
package records

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/twmb/avro"
)

// Schema is the one of that record: <SCHEMAS>/<record>.avsc.
func Schema(record string) (*avro.Schema, error) {
	text, err := os.ReadFile(filepath.Join(Env("SCHEMAS", "../../../schemas"), record+".avsc"))
	if err != nil {
		return nil, errors.Join(err, errors.New("set SCHEMAS to the folder with the .avsc files"))
	}
	return avro.Parse(string(text))
}

// Env is a variable, or what is taken when it is not set.
func Env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
