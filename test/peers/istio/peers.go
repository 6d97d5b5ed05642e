//go:build peers

// Package peers pins the stock Istio programs that the mesh tests run.
//
// `go install pkg@version` cannot build them: some versions that Istio itself
// asks for do not resolve outside its own tree, so go.mod beside this file
// states the ones that do.
package peers

import (
	_ "istio.io/istio/istioctl/cmd/istioctl"
	_ "istio.io/istio/pilot/cmd/pilot-agent"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
	_ "istio.io/istio/pkg/test/echo/cmd/server"
)
