//go:build tools

// Names the command of etcd that the tests build.
package tools

import _ "go.etcd.io/etcd/server/v3"
