// Certificates made on the spot, for tests.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace clew {

struct TestCertificate {
  std::string chain, key;  // PEM
};

struct TestCertificateOptions {
  std::string common_name = "leaf";
  std::vector<std::string> uri_sans, dns_sans, ip_sans;
  std::chrono::seconds valid_from = -std::chrono::hours(1), valid_until = std::chrono::hours(1);  // from now
  bool rsa = false;
};

/// An ECDSA P-256 root, and what it signs.
class TestCa {
 public:
  explicit TestCa(std::string common_name = "root");
  ~TestCa();
  std::string pem() const;
  TestCertificate issue(const TestCertificateOptions& options) const;
  /// A list that revokes these; PEM.
  std::string revoke(const std::vector<TestCertificate>& certificates) const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string common_name_;
  mutable long serial_ = 1;
};

}  // namespace clew
