#include "proxy/upstream/timeouts.h"

#include "proxy/base/strings.h"
#include "proxy/grpc/framing.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {
namespace {

using std::chrono::milliseconds;

constexpr Duration default_timeout = std::chrono::seconds(15);
constexpr std::uint64_t longest = 1'000'000'000'000;  // ms, 31 years: keeps arithmetic far from overflow

std::optional<Duration> take_milliseconds(HeaderMap& headers, HeaderId id) {
  const auto value = headers.get(id);
  if (!value) return std::nullopt;
  const auto number = parse_uint(*value);
  headers.remove(id);
  if (!number) return std::nullopt;
  return milliseconds(static_cast<std::int64_t>(std::min(*number, longest)));
}

}  // namespace

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  const auto number = parse_uint(text.substr(0, text.size() - 1));
  if (!number) return std::nullopt;
  const auto n = static_cast<std::int64_t>(*number);
  switch (text.back()) {
    case 'H': return std::chrono::hours(std::min<std::int64_t>(n, 1'000'000));
    case 'M': return std::chrono::minutes(n);
    case 'S': return std::chrono::seconds(n);
    case 'm': return milliseconds(n);
    // Envoy counts in milliseconds and rounds up.
    case 'u': return std::chrono::ceil<milliseconds>(std::chrono::microseconds(n));
    case 'n': return std::chrono::ceil<milliseconds>(std::chrono::nanoseconds(n));
    default: return std::nullopt;
  }
}

Timeouts Timeouts::of(const ForwardAction& action, const RetryPolicy* retry, RequestHead& request, bool is_grpc) {
  Timeouts out;
  if (is_grpc && action.grpc_timeout_max) {
    out.grpc = true;
    if (const auto header = request.headers.get(HeaderId::grpc_timeout))
      out.total = parse_grpc_timeout(*header).value_or(Duration(0));
    const Duration most = *action.grpc_timeout_max;
    if (most > Duration(0) && (out.total == Duration(0) || out.total > most)) out.total = most;
  } else {
    out.total = action.timeout.value_or(default_timeout);
  }
  if (retry) {
    out.per_try = retry->per_try_timeout;
    out.per_try_idle = retry->per_try_idle_timeout;
  }
  if (const auto header = take_milliseconds(request.headers, HeaderId::x_envoy_upstream_rq_timeout_ms))
    out.total = *header;
  if (const auto header = take_milliseconds(request.headers, HeaderId::x_envoy_upstream_rq_per_try_timeout_ms))
    out.per_try = *header;
  if (out.total > Duration(0) && out.per_try >= out.total) out.per_try = Duration(0);
  return out;
}

void Timeouts::announce(RequestHead& request, Duration elapsed, bool suppress_envoy_headers) const {
  Duration expected = per_try > Duration(0) ? per_try : total;
  if (expected <= Duration(0)) return;
  // Out of time is said as one millisecond: zero would mean no limit.
  if (total > Duration(0)) expected = elapsed >= total ? milliseconds(1) : std::min(expected, total - elapsed);
  if (!suppress_envoy_headers) {
    const auto ms = std::chrono::duration_cast<milliseconds>(expected).count();
    request.headers.set(HeaderId::x_envoy_expected_rq_timeout_ms, fmt::format_int(ms).str());
  }
  if (grpc) request.headers.set(HeaderId::grpc_timeout, grpc_timeout(expected));
}

}  // namespace clew
