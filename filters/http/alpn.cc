#include "filters/http/alpn.h"

namespace clew {
namespace {

class Alpn final : public Filter {
 public:
  explicit Alpn(const AlpnOverrides& overrides) : overrides_(overrides) {}

  Verdict on_request(Stream& stream) override {
    if (!stream.cluster || !stream.snapshot) return Continue{};
    const ClusterEntry* entry = stream.snapshot->clusters.find(stream.cluster->cluster);
    if (!entry || !entry->cluster || !entry->cluster->alpn_override) return Continue{};
    const std::vector<std::string>& list = of(upstream_version(entry->cluster->http, stream.request.version));
    if (!list.empty()) stream.upstream_alpn = &list;
    return Continue{};
  }

 private:
  static HttpVersion upstream_version(const UpstreamHttpOptions& options, HttpVersion downstream) {
    switch (options.protocol) {
      case UpstreamHttpOptions::Protocol::http2: return HttpVersion::http2;
      case UpstreamHttpOptions::Protocol::downstream: return downstream;
      case UpstreamHttpOptions::Protocol::http1: break;
    }
    return HttpVersion::http11;
  }
  const std::vector<std::string>& of(HttpVersion version) const {
    switch (version) {
      case HttpVersion::http10: return overrides_.http10;
      case HttpVersion::http2: return overrides_.http2;
      case HttpVersion::http11: break;
    }
    return overrides_.http11;
  }

  const AlpnOverrides& overrides_;
};

class Factory final : public FilterFactory {
 public:
  Factory(std::string_view name, AlpnOverrides overrides) : name_(name), overrides_(std::move(overrides)) {}
  std::unique_ptr<Filter> make(const Stream&) const override { return std::make_unique<Alpn>(overrides_); }
  std::string_view name() const override { return name_; }

 private:
  const std::string name_;
  const AlpnOverrides overrides_;
};

}  // namespace

std::shared_ptr<const FilterFactory> make_alpn(std::string_view name, AlpnOverrides overrides) {
  return std::make_shared<Factory>(name, std::move(overrides));
}

}  // namespace clew
