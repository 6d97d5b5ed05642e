#include "proxy/upstream/retry.h"

#include "proxy/base/strings.h"

#include <algorithm>
#include <array>

namespace clew {
namespace {

constexpr std::uint32_t default_retries = 1;
constexpr Duration default_base_interval = std::chrono::milliseconds(25);
constexpr std::size_t max_listed = 64;  // codes or names in a request's header; the rest is ignored

/// Up to max_listed comma-separated words, trimmed.
template <class F>
void for_each_word(std::string_view list, F&& visit) {
  for (std::size_t n = 0; n < max_listed && !list.empty(); ++n) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = trim(list.substr(0, comma));
    if (!word.empty()) visit(word);
    list.remove_prefix(std::min(list.size(), comma + 1));
  }
}

std::optional<std::string_view> take_header(HeaderMap& headers, HeaderId id) {
  const auto value = headers.get(id);
  if (value) headers.remove(id);
  return value;
}

}  // namespace

std::string_view to_string(ResetReason reason) {
  switch (reason) {
    case ResetReason::local_reset: return "local reset";
    case ResetReason::local_connection_failure: return "local connection failure";
    case ResetReason::remote_connection_failure: return "remote connection failure";
    case ResetReason::connection_timeout: return "connection timeout";
    case ResetReason::connection_termination: return "connection termination";
    case ResetReason::overflow: return "overflow";
    case ResetReason::remote_reset: return "remote reset";
    case ResetReason::remote_refused_stream: return "remote refused-stream reset";
    case ResetReason::protocol_error: return "protocol error";
  }
  return "";
}

ResetReason reset_reason(Errc error) {
  switch (error) {
    case Errc::upstream_overflow: return ResetReason::overflow;
    case Errc::connect_timeout: return ResetReason::connection_timeout;
    case Errc::bind_failed: return ResetReason::local_connection_failure;
    case Errc::connect_failed:
    case Errc::connection_refused:
    case Errc::handshake_timeout:
    case Errc::tls_handshake_failed:
    case Errc::tls_certificate_rejected:
    case Errc::tls_san_mismatch:
    case Errc::tls_secret_missing:
    case Errc::tls_protocol: return ResetReason::remote_connection_failure;
    case Errc::http_stream_reset: return ResetReason::remote_reset;
    case Errc::http_refused_stream:
    case Errc::http_goaway: return ResetReason::remote_refused_stream;
    case Errc::http_bad_message:
    case Errc::http_headers_too_large:
    case Errc::http_too_many_headers:
    case Errc::http_bad_framing:
    case Errc::http_protocol_version:
    case Errc::http_flood:
    case Errc::upstream_protocol_error: return ResetReason::protocol_error;
    case Errc::eof:
    case Errc::connection_reset:
    case Errc::idle_timeout:
    case Errc::upstream_closed: return ResetReason::connection_termination;
    default: return ResetReason::local_reset;
  }
}

RetryState::RetryState(const RetryPolicy* policy, RequestHead& request)
    : policy_(policy), interval_(policy ? policy->base_interval : default_base_interval) {
  if (policy) on_ = policy->on;
  remaining_ = policy ? policy->num_retries : default_retries;
  HeaderMap& headers = request.headers;
  if (const auto words = take_header(headers, HeaderId::x_envoy_retry_on)) on_ |= parse_retry_on(*words);
  if (const auto words = take_header(headers, HeaderId::x_envoy_retry_grpc_on)) on_ |= parse_retry_on(*words);
  const auto most = take_header(headers, HeaderId::x_envoy_max_retries);
  if (on_ != 0 && most) {
    if (const auto number = parse_uint(*most))
      remaining_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(*number, UINT32_MAX));
  }
  if (const auto codes = take_header(headers, HeaderId::x_envoy_retriable_status_codes)) {
    for_each_word(*codes, [this](std::string_view word) {
      if (const auto code = parse_uint(word); code && *code <= 999)
        status_codes_.push_back(static_cast<std::uint32_t>(*code));
    });
  }
  if (const auto names = take_header(headers, HeaderId::x_envoy_retriable_header_names))
    for_each_word(*names, [this](std::string_view word) { header_names_.push_back(to_lower(word)); });
}

bool RetryState::wants(const ResponseHead& response) const {
  const HeaderMap& headers = response.headers;
  if (headers.has(HeaderId::x_envoy_ratelimited)) return on_ & RetryOn::envoy_ratelimited;
  const std::uint32_t status = response.status;
  if ((on_ & RetryOn::on_5xx) && status >= 500 && status <= 599) return true;
  if ((on_ & RetryOn::gateway_error) && status >= 502 && status <= 504) return true;
  if ((on_ & RetryOn::retriable_4xx) && status == 409) return true;
  if (on_ & RetryOn::retriable_status_codes) {
    const auto is_status = [status](std::uint32_t code) { return code == status; };
    if (policy_ &&
        std::any_of(policy_->retriable_status_codes.begin(), policy_->retriable_status_codes.end(), is_status))
      return true;
    if (std::any_of(status_codes_.begin(), status_codes_.end(), is_status)) return true;
  }
  if (on_ & RetryOn::retriable_headers) {
    if (policy_) {
      for (const HeaderMatcher& matcher : policy_->retriable_headers) {
        const auto value =
            matcher.name == ":status" ? std::optional<std::string>(std::to_string(status)) : std::nullopt;
        if (matcher.matches(value ? std::optional<std::string_view>(*value) : headers.get_all(matcher.name)))
          return true;
      }
    }
    for (const std::string& name : header_names_)
      if (headers.get(name)) return true;
  }
  constexpr std::array<std::pair<std::uint32_t, std::uint64_t>, 5> grpc{{{RetryOn::grpc_cancelled, 1},
                                                                         {RetryOn::grpc_deadline_exceeded, 4},
                                                                         {RetryOn::grpc_internal, 13},
                                                                         {RetryOn::grpc_resource_exhausted, 8},
                                                                         {RetryOn::grpc_unavailable, 14}}};
  const auto grpc_status = headers.get(HeaderId::grpc_status);
  if (!grpc_status) return false;
  const auto code = parse_uint(*grpc_status);
  return code && std::any_of(grpc.begin(), grpc.end(),
                             [&](const auto& entry) { return (on_ & entry.first) && entry.second == *code; });
}

bool RetryState::wants(ResetReason reason, bool sent) const {
  switch (reason) {
    case ResetReason::overflow: return false;
    case ResetReason::local_connection_failure:
    case ResetReason::remote_connection_failure:
    case ResetReason::connection_timeout:
      if (on_ & RetryOn::connect_failure) return true;
      break;
    case ResetReason::remote_refused_stream:
      if (on_ & RetryOn::refused_stream) return true;
      break;
    default: break;
  }
  if ((on_ & RetryOn::reset_before_request) && !sent) return true;
  return on_ & (RetryOn::reset | RetryOn::on_5xx | RetryOn::gateway_error);
}

bool RetryState::take() {
  if (remaining_ == 0) return false;
  --remaining_;
  return true;
}

Duration RetryState::next_backoff(std::uint64_t random) {
  using std::chrono::milliseconds;
  const Duration interval = interval_;
  const Duration most = policy_ ? policy_->max_interval : 10 * default_base_interval;
  interval_ = std::min(2 * interval_, std::max(most, Duration(milliseconds(1))));
  const auto range = std::chrono::duration_cast<milliseconds>(interval).count();
  return milliseconds(range <= 0 ? 0 : static_cast<std::int64_t>(random % static_cast<std::uint64_t>(range)));
}

}  // namespace clew
