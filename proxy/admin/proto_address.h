// Our addresses as envoy.config.core.v3.Address.
#pragma once

#include "proxy/base/address.h"

#include "envoy/config/core/v3/address.pb.h"

namespace clew {

inline void set_address(const Address& address, envoy::config::core::v3::Address* into) {
  if (address.is_pipe()) {
    into->mutable_pipe()->set_path(std::string(address.path()));
    return;
  }
  into->mutable_socket_address()->set_address(address.ip().to_string());
  into->mutable_socket_address()->set_port_value(address.port());
}

}  // namespace clew
