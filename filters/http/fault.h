// envoy.filters.http.fault: delays and aborts a share of requests. By the config of the route, or the filter's own.
#pragma once

#include "proxy/base/clock.h"
#include "proxy/http/filter.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace clew {

class FaultPolicy final : public FilterRouteConfig {
 public:
  struct Delay {
    Duration fixed{0};
    double percent = 0;
  };
  struct Abort {
    std::uint32_t http_status = 200;
    std::optional<std::uint32_t> grpc_status;
    double percent = 0;
  };
  std::optional<Delay> delay;
  std::optional<Abort> abort;
  bool empty() const { return !delay && !abort; }
};

/// everywhere: the filter's own config, for routes without one; may be empty.
std::shared_ptr<const FilterFactory> make_fault(std::string_view name, FaultPolicy everywhere);

}  // namespace clew
