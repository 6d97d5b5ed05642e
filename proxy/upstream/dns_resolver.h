// Names to addresses, asynchronously, on the control thread.
#pragma once

#include "proxy/base/address.h"
#include "proxy/base/clock.h"
#include "proxy/net/worker.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace clew {

struct DnsAnswer {
  bool ok = false;  // false: no answer; addresses are empty. An answer without addresses (NXDOMAIN, NODATA) is ok
  std::vector<IpAddress> addresses;
  Duration ttl{0};  // the shortest; 0: not known
};

class DnsResolver {
 public:
  enum class Family : std::uint8_t { v4, v6, any };
  using Done = std::function<void(DnsAnswer)>;

  virtual ~DnsResolver() = default;
  /// Calls done once, never from inside this call. Not called any more when the resolver is destroyed first.
  virtual void resolve(const std::string& name, Family family, Done done) = 0;
};

/// By c-ares: /etc/resolv.conf (read at construction), /etc/hosts; 5 s and 3 tries a server.
class CaresResolver final : public DnsResolver {
 public:
  explicit CaresResolver(Worker& control);
  ~CaresResolver() override;
  void resolve(const std::string& name, Family family, Done done) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clew
