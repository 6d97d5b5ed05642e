#include "proxy/net/stream_info.h"

#include "proxy/net/connection_info.h"

namespace clew {

namespace {

struct Names {
  std::string_view brief, full;
};

constexpr std::array<Names, 30> flag_names{{
    {"LH", "FailedLocalHealthCheck"},
    {"UH", "NoHealthyUpstream"},
    {"UT", "UpstreamRequestTimeout"},
    {"LR", "LocalReset"},
    {"UR", "UpstreamRemoteReset"},
    {"UF", "UpstreamConnectionFailure"},
    {"UC", "UpstreamConnectionTermination"},
    {"UO", "UpstreamOverflow"},
    {"NR", "NoRouteFound"},
    {"DI", "DelayInjected"},
    {"FI", "FaultInjected"},
    {"RL", "RateLimited"},
    {"UAEX", "UnauthorizedExternalService"},
    {"RLSE", "RateLimitServiceError"},
    {"DC", "DownstreamConnectionTermination"},
    {"URX", "UpstreamRetryLimitExceeded"},
    {"SI", "StreamIdleTimeout"},
    {"IH", "InvalidEnvoyRequestHeaders"},
    {"DPE", "DownstreamProtocolError"},
    {"UMSDR", "UpstreamMaxStreamDurationReached"},
    {"RFCF", "ResponseFromCacheFilter"},
    {"NFCF", "NoFilterConfigFound"},
    {"DT", "DurationTimeout"},
    {"UPE", "UpstreamProtocolError"},
    {"NC", "NoClusterFound"},
    {"OM", "OverloadManagerTerminated"},
    {"DF", "DnsResolutionFailed"},
    {"DO", "DropOverload"},
    {"DR", "DownstreamRemoteReset"},
    {"UDO", "UnconditionalDropOverload"},
}};
static_assert(flag_names.size() == static_cast<std::size_t>(ResponseFlag::unconditional_drop_overload) + 1);

}  // namespace

std::string_view short_name(ResponseFlag flag) { return flag_names[static_cast<std::size_t>(flag)].brief; }
std::string_view long_name(ResponseFlag flag) { return flag_names[static_cast<std::size_t>(flag)].full; }

void ResponseFlags::append_to(std::string& out, bool long_names) const {
  if (count_ == 0) out += '-';
  for (std::size_t i = 0; i < count_; ++i) {
    if (i) out += ',';
    out += long_names ? long_name(order_[i]) : short_name(order_[i]);
  }
}

std::string ResponseFlags::to_string() const {
  std::string out;
  append_to(out);
  return out;
}

std::string ResponseFlags::to_long_string() const {
  std::string out;
  append_to(out, true);
  return out;
}

StreamInfo& ConnectionRecord::get() {
  if (!info_) {
    info_ = std::make_unique<StreamInfo>();
    info_->connection = &connection_;
    info_->start = connection_.start;
    info_->start_wall = connection_.start_wall;
  }
  return *info_;
}

}  // namespace clew
