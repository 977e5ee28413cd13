//go:build tools

// Package tools pins GoQuorum's geth command; it is built with `go build`, never imported.
package tools

import _ "github.com/ethereum/go-ethereum/cmd/geth"
