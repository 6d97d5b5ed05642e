#include "filters/decoders.h"
#include "filters/http/alpn.h"

#include "contrib/envoy/extensions/filters/http/alpn/v3/alpn.pb.h"

namespace clew {

Decoded<std::shared_ptr<const FilterFactory>> decode_alpn(std::string_view name,
                                                          const google::protobuf::Message& message) {
  using Config = istio::envoy::config::filter::http::alpn::v2alpha1::FilterConfig;
  AlpnOverrides out;
  for (const auto& entry : dynamic_cast<const Config&>(message).alpn_override()) {
    std::vector<std::string> list(entry.alpn_override().begin(), entry.alpn_override().end());
    switch (entry.upstream_protocol()) {
      case Config::HTTP10: out.http10 = std::move(list); break;
      case Config::HTTP11: out.http11 = std::move(list); break;
      case Config::HTTP2: out.http2 = std::move(list); break;
      default: return DecodeError{"alpn_override: unknown upstream_protocol"};
    }
  }
  return make_alpn(name, std::move(out));
}

}  // namespace clew
