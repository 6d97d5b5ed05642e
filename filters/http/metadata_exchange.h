// istio.metadata_exchange (io.istio.http.peer_metadata.Config): tells the other proxy who we are and learns who it is,
// by the headers x-envoy-peer-metadata and x-envoy-peer-metadata-id. They never reach an application.
#pragma once

#include "filters/peer_metadata.h"
#include "proxy/http/filter.h"

namespace clew {

struct MetadataExchangeOptions {
  bool discover_downstream = false, discover_upstream = false;  // from request and response headers, which are removed
  bool propagate_downstream = false,
       propagate_upstream = false;  // on responses (where the request had them) and requests
  bool skip_external_downstream = false, skip_external_upstream = false;  // skip_external_clusters
};

/// name: the filter's in the config.
std::shared_ptr<const FilterFactory> make_metadata_exchange(std::string_view name,
                                                            const MetadataExchangeOptions& options,
                                                            const PeerMetadata& self);

}  // namespace clew
