//go:build peers

// Package peers pins the HTTP/2 conformance tester.
package peers

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
)
