#include "proxy/http/codec_stats.h"

namespace clew {

void Http1CodecStats::collect(std::string_view prefix, StatSink& sink) const {
  const auto name = [prefix](std::string_view last) { return std::string(prefix).append(last); };
  sink.counter(name("dropped_headers_with_underscores"), dropped_headers_with_underscores.value());
  sink.counter(name("requests_rejected_with_underscores_in_headers"),
               requests_rejected_with_underscores_in_headers.value());
  // Of what Envoy's codec can be asked for and this one cannot.
  for (const char* never : {"metadata_not_supported_error", "response_flood"}) sink.counter(name(never), 0);
}

void Http2CodecStats::collect(std::string_view prefix, StatSink& sink) const {
  const auto name = [prefix](std::string_view last) { return std::string(prefix).append(last); };
#define CLEW_COUNTER(member) sink.counter(name(#member), member.value());
  CLEW_HTTP2_COUNTERS(CLEW_COUNTER)
#undef CLEW_COUNTER
  sink.gauge(name("streams_active"), streams_active.value());
}

}  // namespace clew
