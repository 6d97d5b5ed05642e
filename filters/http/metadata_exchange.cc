#include "filters/http/metadata_exchange.h"

#include "proxy/base/encoding.h"

namespace clew {
namespace {

constexpr HeaderId id_header = HeaderId::x_envoy_peer_metadata_id;
constexpr HeaderId metadata_header = HeaderId::x_envoy_peer_metadata;

struct Shared {
  std::string name;
  MetadataExchangeOptions options;
  std::string id, metadata;  // as header values
};

/// Whether the cluster of this stream is none that wants to know us.
bool skipped(const Stream& stream, bool skip_external) {
  if (!stream.cluster || !stream.snapshot) return false;
  if (skip_external && stream.cluster->cluster == "PassthroughCluster") return true;
  const ClusterEntry* entry = stream.snapshot->clusters.find(stream.cluster->cluster);
  if (!entry || !entry->cluster) return false;
  return entry->cluster->disable_metadata_exchange || (skip_external && entry->cluster->external);
}

/// Takes the peer's word out of the headers.
void take(HeaderMap& headers, std::shared_ptr<const PeerWorkload>& peer) {
  if (const auto value = headers.get(metadata_header); value && !value->empty() && !peer) peer = peer_of_header(*value);
  headers.remove(id_header);
  headers.remove(metadata_header);
}

class MetadataExchange final : public Filter {
 public:
  explicit MetadataExchange(const Shared& shared) : shared_(shared) {}

  Verdict on_request(Stream& stream) override {
    HeaderMap& headers = stream.request.headers;
    id_received_ = headers.has(id_header);
    metadata_received_ = headers.has(metadata_header);
    const MetadataExchangeOptions& options = shared_.options;
    if (options.discover_downstream) take(headers, stream.info.downstream_peer);
    if (options.propagate_upstream && !skipped(stream, options.skip_external_upstream)) {
      headers.set(id_header, shared_.id);
      headers.set(metadata_header, shared_.metadata);
    }
    return Continue{};
  }

  Verdict on_response(Stream& stream) override {
    HeaderMap& headers = stream.response.headers;
    const MetadataExchangeOptions& options = shared_.options;
    if (options.discover_upstream) take(headers, stream.info.upstream_peer);
    if (options.propagate_downstream && !skipped(stream, options.skip_external_downstream)) {
      if (id_received_) headers.set(id_header, shared_.id);
      if (metadata_received_) headers.set(metadata_header, shared_.metadata);
    }
    return Continue{};
  }

 private:
  const Shared& shared_;
  bool id_received_ = false, metadata_received_ = false;
};

class Factory final : public FilterFactory {
 public:
  explicit Factory(Shared shared) : shared_(std::move(shared)) {}
  std::unique_ptr<Filter> make(const Stream&) const override { return std::make_unique<MetadataExchange>(shared_); }
  std::string_view name() const override { return shared_.name; }

 private:
  const Shared shared_;
};

}  // namespace

std::shared_ptr<const FilterFactory> make_metadata_exchange(std::string_view name,
                                                            const MetadataExchangeOptions& options,
                                                            const PeerMetadata& self) {
  return std::make_shared<Factory>(Shared{std::string(name), options, self.id, to_base64(self.metadata)});
}

}  // namespace clew
