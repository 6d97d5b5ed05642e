// The contract of an HTTP filter. A filter says what it needs with few hooks; most need one. Three files, one test, one
// line in filters/registry.cc: see CONTRIBUTING.md. The router is the end of the chain, not a filter.
#pragma once

#include "proxy/http/stream.h"

#include <memory>
#include <variant>

namespace clew {

struct Continue {};
using Verdict = std::variant<Continue, LocalReply>;

/// One filter in one stream. Order: on_request of each filter first to last, on_response last to first, on_done of each
/// exactly once, whatever happened. Local replies pass on_response of every filter whose on_request ran.
class Filter : public Recycled {
 public:
  virtual ~Filter() = default;
  virtual Verdict on_request(Stream&) { return Continue{}; }
  /// Called instead of on_request when the factory says waits(): may wait for a timer or another service, or read the
  /// body within a bound by replacing it.
  virtual Task<Verdict> on_request_wait(Stream& stream, BodyPtr& body);
  virtual Verdict on_response(Stream&) { return Continue{}; }
  virtual void on_done(const Stream&) noexcept {}
};

/// A filter with its decoded config: immutable, shared by workers and snapshots.
class FilterFactory {
 public:
  virtual ~FilterFactory() = default;
  /// Null: nothing to do for this stream (its route disables it, say).
  virtual std::unique_ptr<Filter> make(const Stream&) const = 0;
  virtual bool waits() const { return false; }
  /// The filter's name in the config («envoy.filters.http.fault»), the key of Route::filter_config.
  virtual std::string_view name() const = 0;
};

/// What a filter made of its typed_per_filter_config on a route, virtual host or route table.
class FilterRouteConfig {
 public:
  virtual ~FilterRouteConfig() = default;
};

/// The most specific one for this stream: route, then virtual host, then table. Null: none.
const FilterRouteConfig* route_config(const Stream& stream, std::string_view filter_name);

}  // namespace clew
