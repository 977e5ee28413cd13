//go:build tools

// Names the command of helm that the tests build.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
