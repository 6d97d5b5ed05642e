// istio.alpn: which application protocols the upstream's TLS offers, by the protocol spoken to it, so that the
// receiving sidecar knows Istio traffic before it decrypts anything.
#pragma once

#include "proxy/http/filter.h"

#include <string>
#include <vector>

namespace clew {

/// Empty: what the cluster says.
struct AlpnOverrides {
  std::vector<std::string> http10, http11, http2;
};

std::shared_ptr<const FilterFactory> make_alpn(std::string_view name, AlpnOverrides overrides);

}  // namespace clew
