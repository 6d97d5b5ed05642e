// What decoders ask about filters: from the type of a config to what makes filters of it. The answers are in
// filters/registry.h, which knows this folder and not the other way round. Immutable; control thread.
#pragma once

#include "config/xds/decode.h"
#include "proxy/http/filter.h"
#include "proxy/net/network_filter.h"

#include <google/protobuf/message.h>

#include <memory>
#include <string_view>

namespace clew {

class FilterRegistry {
 public:
  virtual ~FilterRegistry() = default;

  // name: the filter's in the chain; config: unpacked (TypedStruct resolved) and passed by the field table. An error
  // says what is wrong in the config. Null: an accepted filter that has nothing to do.

  virtual Decoded<std::shared_ptr<const FilterFactory>> http_filter(std::string_view name,
                                                                    const google::protobuf::Message& config) const = 0;
  virtual Decoded<std::shared_ptr<const NetworkFilterFactory>> network_filter(
      std::string_view name, const google::protobuf::Message& config) const = 0;
  /// typed_per_filter_config of a route, virtual host or route table.
  virtual Decoded<std::shared_ptr<const FilterRouteConfig>> route_config(
      std::string_view name, const google::protobuf::Message& config) const = 0;
};

}  // namespace clew
