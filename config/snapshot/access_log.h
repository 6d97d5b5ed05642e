// What an access log writes, where, and when. envoy.config.accesslog.v3, file logger.
#pragma once

#include "config/snapshot/format.h"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace clew {

/// envoy.config.accesslog.v3.AccessLogFilter, the parts istiod emits.
struct AccessLogFilter {
  struct ResponseFlags {
    std::vector<std::string> any_of;  // short names, «NR»; empty: any flag at all
  };
  struct StatusCode {
    enum class Op : std::uint8_t { equal, greater_equal, less_equal, not_equal } op = Op::greater_equal;
    std::uint32_t value = 0;
  };
  struct DurationMs {
    StatusCode compare;
  };
  struct NotHealthCheck {};
  struct And {
    std::vector<AccessLogFilter> all;
  };
  struct Or {
    std::vector<AccessLogFilter> any;
  };
  std::variant<ResponseFlags, StatusCode, DurationMs, NotHealthCheck, And, Or> rule;
};

struct AccessLog {
  std::string path;  // a file; «/dev/stdout» and «/dev/stderr» as usual
  std::variant<TextFormat, JsonFormat> format;
  std::optional<AccessLogFilter> filter;
};

using AccessLogs = std::vector<std::shared_ptr<const AccessLog>>;

}  // namespace clew
