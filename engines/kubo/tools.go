//go:build tools

// Package tools pins kubo's ipfs command; it is built with `go build`, never imported.
package tools

import _ "github.com/ipfs/kubo/cmd/ipfs"
